"""Heads whose answer is known, laid over pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.dense.config import Depth, Segmentation, SegmentationHead
from sauropod.evaluate.dense.depth import build_heads
from sauropod.evaluate.dense.depth_sets import Protocol
from sauropod.evaluate.dense.head_file import save_depth, save_segmentation
from sauropod.evaluate.dense.overlay import overlay, palette
from sauropod.evaluate.dense.patch_maps import last_blocks, quarter_blocks
from sauropod.evaluate.dense.segmentation import LinearHead
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train.config import Backbone
from sauropod.visualise.overlays import overlay_plate
from sauropod.visualise.paint import GAP


def _vit(width: int = 16) -> VisionTransformer:
    knobs = Backbone(
        arch="vit_tiny",
        patch_size=8,
        image_size=32,
        ffn="mlp",
        embed_dim=width,
        depth=2,
        num_heads=2,
    )
    return build_vit(knobs, seed=1).eval()


def _segmentation(path: Path, vit: VisionTransformer, *, answer: int) -> Path:
    """A head that says one class of three, whatever it sees."""
    knobs = Segmentation(
        heads=("linear",), linear=SegmentationHead(image_size=(32, 32), crop=32, stride=16)
    )
    width = last_blocks(vit, floor_patch=8)(1).width
    head = LinearHead(width, num_classes=3, generator=torch.Generator())
    with torch.no_grad():
        head.conv_seg.weight.zero_()
        assert head.conv_seg.bias is not None
        head.conv_seg.bias.copy_(10.0 * torch.eye(3)[answer])
    save_segmentation({"linear": head}, path, classes=("a", "b", "c"), knobs=knobs, stamp={})
    return path


def _depth(path: Path, vit: VisionTransformer) -> Path:
    knobs = Depth(heads=("linear1",), num_bins=8, channels=4)
    heads = build_heads(
        quarter_blocks(vit, floor_patch=8), knobs=knobs, max_depth=10.0, device="cpu"
    )
    protocol = Protocol(scale=1000.0, max_depth=10.0, area="whole", crop=(32, 32))
    save_depth(heads, path, protocol=protocol, knobs=knobs, stamp={})
    return path


@pytest.fixture
def pictures() -> list[Image.Image]:
    random = np.random.Generator(np.random.Philox(key=1))
    return [Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)) for _ in range(2)]


def _plate(pictures: list[Image.Image], vit: VisionTransformer, **heads: list[Path]) -> np.ndarray:
    paths = {"segmentation_heads": [], "depth_heads": [], **heads}
    return np.asarray(overlay_plate(pictures, vit, size=32, device="cpu", **paths))


def test_label_maps_have_their_class_colour(tmp_path: Path, pictures: list[Image.Image]) -> None:
    vit = _vit()
    head = _segmentation(tmp_path / "head.safetensors", vit, answer=2)
    plate = _plate(pictures, vit, segmentation_heads=[head])
    assert plate.shape == (2 * 24 + 3 * GAP, 2 * 32 + 3 * GAP, 3)
    for i, picture in enumerate(pictures):
        left = GAP + i * (32 + GAP)
        image = plate[GAP : GAP + 24, left : left + 32]
        np.testing.assert_array_equal(image, np.asarray(picture))
        below = plate[24 + 2 * GAP : 48 + 2 * GAP, left : left + 32]
        expected = overlay(image, np.broadcast_to(palette(3)[2], image.shape))
        np.testing.assert_array_equal(below, expected)


def test_depth_maps_follow_below_and_repeat(tmp_path: Path, pictures: list[Image.Image]) -> None:
    vit = _vit()
    heads = {
        "segmentation_heads": [_segmentation(tmp_path / "s.safetensors", vit, answer=0)],
        "depth_heads": [_depth(tmp_path / "d.safetensors", vit)],
    }
    plate = _plate(pictures, vit, **heads)
    assert plate.shape[0] == 3 * 24 + 4 * GAP
    assert (plate[48 + 3 * GAP : 72 + 3 * GAP, GAP : GAP + 32] != plate[:24, :32]).any()
    np.testing.assert_array_equal(plate, _plate(pictures, vit, **heads))


def test_heads_of_another_backbone_are_one_sentence(
    tmp_path: Path, pictures: list[Image.Image]
) -> None:
    segmentation = _segmentation(tmp_path / "s.safetensors", _vit(), answer=0)
    with pytest.raises(InputError, match="a head linear for this backbone"):
        _plate(pictures, _vit(24), segmentation_heads=[segmentation])
    with pytest.raises(InputError, match="expected depth heads"):
        _plate(pictures, _vit(), depth_heads=[segmentation])
