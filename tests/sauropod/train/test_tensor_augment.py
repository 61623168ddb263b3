"""The accelerator's augmentation beside its oracle, the `pillow` engine, on the CPU."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from sauropod.train import augment, tensor_augment
from sauropod.train.config import Crops
from sauropod.train.randomness import Purpose, keyed
from sauropod.train.tensor_augment import cut, flatten, tabulate
from sauropod.train.views import Jitter, View, draw

WHOLE = View(
    box=(0, 0, 70, 50), size=28, flip=False, jitter=None, gray=False, blur_sigma=0, solarize=False
)


def picture(seed: int, *, width: int, height: int) -> np.ndarray:
    """Smooth colours from black to white with a little noise: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    rough = rng.uniform(-40, 295, (5, 6, 3)).astype(np.float32)
    smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    return (smooth + rng.normal(0, 3, smooth.shape)).clip(0, 255).astype(np.uint8)


IMAGES = [picture(0, width=70, height=50), picture(1, width=40, height=90)]


def levels(crops: Tensor) -> np.ndarray:
    """(C, 3, S, S) normalised -> (C, S, S, 3) levels."""
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (augment.MEAN, augment.STD))
    return ((crops * deviation + mean) * 255).round().permute(0, 2, 3, 1).numpy()


def differences(views: list[View], images: list[np.ndarray] = IMAGES) -> np.ndarray:
    """Levels between the two engines: a row of the crop per view, each cut from every image."""
    table = tabulate([[view] * len(images) for view in views], images=images, size=views[0].size)
    got = levels(cut(flatten(images), table))
    oracle = [augment.apply(image, view, engine="pillow") for view in views for image in images]
    return np.abs(got - np.stack(oracle).astype(float))


def only(**changes: float) -> Jitter:
    still = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    return Jitter(order=(0, 1, 2, 3), **(still | changes))


class TestBesidePillow:
    @pytest.mark.parametrize("size", [14, 28, 56])
    @pytest.mark.parametrize("flip", [False, True])
    def test_resized_crops(self, size: int, flip: bool) -> None:
        boxes = [(0, 0, 40, 50), (3, 5, 31, 33), (7, 2, 12, 49), (1, 20, 40, 24), (9, 9, 10, 10)]
        views = [WHOLE._replace(box=box, size=size, flip=flip) for box in boxes]
        wrong = differences(views)
        # Pillow 13 resizes tall boxes down first, which rounds in between at other places.
        assert wrong.max() <= 2
        assert wrong.reshape(len(boxes), -1).mean(axis=1).max() < 0.5
        assert np.median(wrong.reshape(len(boxes), -1).mean(axis=1)) < 0.01

    @pytest.mark.parametrize(
        "change",
        [
            {"gray": True},
            {"solarize": True},
            {"jitter": only(brightness=0.6)},
            {"jitter": only(brightness=1.4)},
            {"jitter": only(contrast=0.6)},
            {"jitter": only(contrast=1.4)},
            {"jitter": only(saturation=0.8)},
            {"jitter": only(saturation=1.2)},
            {"jitter": only(hue=0.1)},
            {"jitter": only(hue=-0.03)},
            {"jitter": only(brightness=1.3, contrast=0.7)._replace(order=(1, 3, 0, 2))},
            {"blur_sigma": 0.1},
            {"blur_sigma": 0.7},
            {"blur_sigma": 2.0},
        ],
        ids=str,
    )
    def test_each_operation(self, change: dict[str, object]) -> None:
        wrong = differences([WHOLE._replace(box=(4, 3, 32, 31), **change)])
        assert wrong.mean() < 0.1
        # One level of hue or saturation is up to six of red, green or blue.
        assert wrong.max() <= (6 if "jitter" in change else 1)

    def test_everything_together(self) -> None:
        crops = Crops(global_size=28, local_size=14, num_local=6, blur_mode="paper")
        images = [picture(i, width=40 + 9 * i, height=90 - 8 * i) for i in range(6)]
        views = [
            draw(
                keyed(0, purpose=Purpose.VIEWS, counter=i),
                width=image.shape[1],
                height=image.shape[0],
                crops=crops,
            )
            for i, image in enumerate(images)
        ]
        crop_major = list(zip(*views, strict=True))
        for own in (crop_major[:2], crop_major[2:]):
            size = own[0][0].size
            got = levels(cut(flatten(images), tabulate(own, images=images, size=size)))
            oracle = [
                augment.apply(image, view, engine="pillow")
                for views in own
                for image, view in zip(images, views, strict=True)
            ]
            wrong = np.abs(got - np.stack(oracle).astype(float))
            assert wrong.mean() < 0.3
            assert (wrong > 4).mean() < 0.01


class TestHue:
    @settings(max_examples=20, deadline=None)
    @given(turn=st.integers(-25, 25), seed=st.integers(0, 99))
    def test_any_colour(self, turn: int, seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        # The turn is int(hue * 255), towards zero.
        exact = augment.jitter_exactly(
            Image.fromarray(pixels), only(hue=(turn + 0.5 * np.sign(turn)) / 255)
        )
        crops = torch.from_numpy(pixels).movedim(-1, 1)[None].float()
        got = tensor_augment._turned(crops, turn=torch.tensor(float(turn)))
        wrong = (got[0].movedim(1, -1) - torch.from_numpy(np.array(exact))).abs()
        assert wrong.max() <= 6
        assert (wrong > 0).float().mean() < 0.02

    def test_greys_and_pure_colours_by_hand(self) -> None:
        colours = [(9, 9, 9), (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
        crops = torch.tensor(colours).T[None, :, None].movedim(1, 2).float()  # (1, 1, 3, 6)
        got = tensor_augment._turned(crops, turn=torch.tensor(85.0))[0, 0].T.int().tolist()
        assert got == [list(colours[i]) for i in (0, 1, 2, 4, 5, 3)]


class TestMatrices:
    @settings(max_examples=30, deadline=None)
    @given(length=st.integers(1, 90), size=st.integers(1, 40), flip=st.booleans())
    def test_resampling_keeps_what_is_even_and_reads_nothing_beyond(
        self, length: int, size: int, flip: bool
    ) -> None:
        matrix = tensor_augment._bicubic(
            torch.tensor([[length]]), size=size, extent=100, flip=torch.tensor([[flip]])
        )
        torch.testing.assert_close(matrix.sum(-1), torch.ones(1, size))
        assert not matrix[..., length:].any()
        other = tensor_augment._bicubic(
            torch.tensor([[length]]), size=size, extent=100, flip=torch.tensor([[not flip]])
        )
        assert torch.equal(matrix, other.flip(1))

    def test_same_size_is_the_identity(self) -> None:
        matrix = tensor_augment._bicubic(
            torch.tensor([[9]]), size=9, extent=9, flip=torch.tensor([[False]])
        )
        assert torch.equal(matrix[0], torch.eye(9))


class TestBatches:
    def test_boxes_are_worked_on_a_few_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        table = tabulate([[WHOLE, WHOLE._replace(box=(5, 5, 30, 80))]], images=IMAGES, size=28)
        whole = cut(flatten(IMAGES), table)
        monkeypatch.setattr(tensor_augment, "_PIXELS_AT_ONCE", 1)
        assert torch.equal(cut(flatten(IMAGES), table), whole)

    def test_mixed_precision_leaves_it_alone(self) -> None:
        table = tabulate([[WHOLE, WHOLE._replace(box=(0, 0, 9, 9))]], images=IMAGES, size=28)
        expected = cut(flatten(IMAGES), table)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(cut(flatten(IMAGES), table), expected)

    def test_no_views(self) -> None:
        table = tabulate([], images=IMAGES, size=28)
        assert cut(flatten(IMAGES), table).shape == (0, 3, 28, 28)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_accelerator_makes_the_same_views_without_being_waited_for() -> None:
    views = [WHOLE._replace(blur_sigma=0.7), WHOLE._replace(jitter=only(hue=0.1, contrast=0.7))]
    table = tabulate([[view] * 2 for view in views], images=IMAGES, size=28).pin_memory()
    pixels = flatten(IMAGES).pin_memory()
    device = torch.device("cuda")
    cut(pixels.to(device), table.to(device))  # the first products load libraries
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = cut(pixels.to(device, non_blocking=True), table.to(device))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert np.abs(levels(got.cpu()) - levels(cut(pixels, table))).mean() < 0.05
