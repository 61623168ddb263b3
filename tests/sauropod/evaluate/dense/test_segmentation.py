import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sauropod.errors import InputError
from sauropod.evaluate.dense import segmentation
from sauropod.evaluate.dense.config import Segmentation, SegmentationHead
from sauropod.evaluate.dense.miou import IGNORED
from sauropod.evaluate.dense.patch_maps import Mapper, PatchMap, colour_mapper
from sauropod.evaluate.dense.segmentation_sets import SegmentationSet

SMALL = SegmentationHead(image_size=(32, 24), train_ratios=(1.0, 1.5), crop=16, stride=8)
KNOBS = Segmentation(
    steps=30,
    batch_size=4,
    lr=0.05,
    warmup_steps=5,
    linear=SMALL,
    multiscale=dataclasses.replace(SMALL, num_blocks=2, test_ratios=(1.0, 1.5), test_flip=True),
)


def _floor(num_blocks: int) -> Mapper:
    return colour_mapper(patch_size=4, num_layers=num_blocks)


def _values(dataset: SegmentationSet, knobs: Segmentation = KNOBS, threads: int = 1) -> dict:
    rows, _ = segmentation.measure(
        _floor, dataset=dataset, knobs=knobs, batch_size=threads, num_threads=threads, device="cpu"
    )
    return {row.metric: (row.value, row.num_samples) for row in rows}


def test_two_colours_are_learnt_and_repeat_to_the_last_digit(halves: SegmentationSet) -> None:
    found = _values(halves)
    assert found["linear_miou"][0] > 0.9
    assert found["multiscale_miou"][0] > 0.9
    assert found["linear_miou"][1] == 3
    assert found["unusable_train"] == (0, 6)
    assert found == _values(halves, threads=3)
    constant = segmentation.constant(halves, heads=("linear",), num_threads=1)
    assert constant[0].metric == "linear_miou"
    # Blue fills 60 of 96 columns of the test images, and is predicted everywhere.
    assert constant[0].value == pytest.approx((60 / 96) / 2, abs=0.05)


def test_masks_that_cannot_be_used_are_counted(halves: SegmentationSet) -> None:
    halves.train[0].truth.write_bytes(b"nothing")
    halves.val[1].image.unlink()
    found = _values(halves, dataclasses.replace(KNOBS, heads=("linear",)))
    assert found["unusable_train"] == (1, 6)
    assert found["unusable_val"] == (1, 3)
    assert found["linear_miou"][1] == 2


def test_schedule_by_hand() -> None:
    knobs = Segmentation(steps=100, warmup_steps=10, lr=2.0)
    assert segmentation.poly_lr(0, knobs=knobs) == pytest.approx(2e-6)
    assert segmentation.poly_lr(5, knobs=knobs) == pytest.approx(2 * 0.95 * 0.5, rel=1e-5)
    assert segmentation.poly_lr(10, knobs=knobs) == pytest.approx(1.8)
    assert segmentation.poly_lr(99, knobs=knobs) == pytest.approx(0.02)


def test_the_loss_averages_over_ignored_pixels_too() -> None:
    scores = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(3, (1, 4, 4), generator=torch.Generator().manual_seed(1))
    whole = F.cross_entropy(scores, labels)
    assert segmentation.cross_entropy(scores, labels).item() == pytest.approx(whole.item())
    labels[0, 2:] = IGNORED
    half = F.cross_entropy(scores[:, :, :2], labels[:, :2]) / 2
    assert segmentation.cross_entropy(scores, labels).item() == pytest.approx(half.item())


def test_the_head_is_batch_norm_and_a_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    head = segmentation.LinearHead(6, num_classes=5, generator=generator)
    assert 0.005 < head.conv_seg.weight.std().item() < 0.02
    maps = [PatchMap(torch.randn(4, 3, 2, 5), torch.randn(4, 3)) for _ in range(2)]
    x = torch.cat([one.patches for one in maps], dim=1)
    normal = (x - x.mean((0, 2, 3), keepdim=True)) / (
        x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    by_hand = torch.einsum("kd,bdhw->bkhw", head.conv_seg.weight[..., 0, 0], normal)
    assert torch.allclose(head(maps), by_hand, atol=1e-5)


def test_a_backbone_of_nan_is_the_users_mistake(halves: SegmentationSet) -> None:
    def forward(images: Tensor) -> list[PatchMap]:
        patches = F.avg_pool2d(images, 4) * np.nan
        return [PatchMap(patches, patches.mean(dim=(2, 3)))]

    broken = Mapper(forward, patch_size=4, width=3, num_layers=1)
    knobs = dataclasses.replace(KNOBS, steps=2, heads=("linear",))
    with pytest.raises(InputError, match="a loss that is not finite"):
        segmentation.measure(
            lambda _: broken, dataset=halves, knobs=knobs, batch_size=1, num_threads=1, device="cpu"
        )
