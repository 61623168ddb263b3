import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.evaluate.dense import views
from sauropod.evaluate.dense.miou import IGNORED
from sauropod.train.augment import normalise


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_sizes_by_mmcvs_rule() -> None:
    assert views.fitted_size(512, 683, bounds=(2048, 512)) == (512, 683)
    assert views.fitted_size(1024, 2048, bounds=(2048, 512)) == (512, 1024)
    assert views.fitted_size(100, 1000, bounds=(2048, 512)) == (205, 2048)  # the long side binds
    assert views.fitted_size(333, 500, bounds=(1024, 256)) == (256, 384)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(8, 60), st.integers(8, 60), st.integers(8, 40))
def test_segmentation_views_keep_image_and_labels_together(
    seed: int, height: int, width: int, crop: int
) -> None:
    labels = _rng(seed).integers(0, 4, (height, width)).astype(np.int16)
    labels[labels == 3] = IGNORED
    marked = np.repeat(labels[..., None].astype(np.uint8) * 40, 3, axis=2)
    plain = views.segmentation_view(
        marked, labels, image_size=(80, 32), ratios=(1.0, 2.0), crop=crop, rng=_rng(seed)
    )
    again = views.segmentation_view(
        marked, labels, image_size=(80, 32), ratios=(1.0, 2.0), crop=crop, rng=_rng(seed)
    )
    assert torch.equal(plain.image, again.image)
    assert plain.image.shape == (3, crop, crop)
    assert plain.truth.shape == (crop, crop)
    assert plain.truth.dtype == torch.int64
    assert set(plain.truth.unique().tolist()) <= {IGNORED, 0, 1, 2}


def test_labels_follow_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "photometric", lambda image, _: image)
    labels = np.zeros((20, 20), np.int16)
    labels[:10], labels[:, :5] = 1, 2
    image = np.stack([labels * 100] * 3, axis=2).astype(np.uint8)
    for seed in range(8):
        view = views.segmentation_view(
            image, labels, image_size=(20, 20), ratios=(1.0, 1.0), crop=12, rng=_rng(seed)
        )
        pixels = normalise(torch.arange(3)[:, None, None, None].expand(3, 3, 1, 1) * 100)
        expected = pixels[view.truth, :, 0, 0].permute(2, 0, 1)
        assert torch.allclose(view.image, expected)


def test_a_crop_is_not_of_one_class_where_it_can_be_helped() -> None:
    labels = np.zeros((64, 64), np.int16)
    labels[:, 32:] = 1
    labels[60:] = IGNORED
    mixed = 0
    for seed in range(20):
        inside = labels[views.labelled_crop(labels, crop=16, rng=_rng(seed))]
        counts = np.unique(inside[inside != IGNORED], return_counts=True)[1]
        mixed += len(counts) > 1 and counts.max() < 0.75 * counts.sum()
    assert mixed >= 15  # of a uniform draw about 9 in 49 would be
    one = np.zeros((64, 64), np.int16)
    assert one[views.labelled_crop(one, crop=16, rng=_rng())].shape == (16, 16)
    assert one[views.labelled_crop(one, crop=100, rng=_rng())].shape == (64, 64)
    none = np.full((64, 64), IGNORED, np.int16)
    assert none[views.labelled_crop(none, crop=16, rng=_rng())].shape == (16, 16)


def test_padding_is_the_mean_colour_and_counts_nowhere() -> None:
    sample = views.padded(np.full((2, 3, 3), 255, np.uint8), np.ones((2, 3), int), (4, 5), fill=-1)
    assert (sample.image[:, 2:] == 0).all()
    assert (sample.image[:, :, 3:] == 0).all()
    assert (sample.image[:, :2, :3] > 2).all()
    assert sample.truth.tolist() == [[1, 1, 1, -1, -1]] * 2 + [[-1] * 5] * 2


class _Coins:
    """A generator whose coins and numbers are given."""

    def __init__(self, coins: list[int], number: float) -> None:
        self.coins, self.number = coins, number

    def integers(self, low: int, high: int | None = None) -> int:
        return self.coins.pop(0) if high is None else high - 1

    def uniform(self, low: float, high: float) -> float:
        return low + self.number * (high - low)


def test_photometric_by_hand() -> None:
    image = np.full((1, 1, 3), 100, np.uint8)
    # Coins: brightness, contrast last, [contrast], saturation, hue, [contrast].
    brighter = views.photometric(image, _Coins([1, 0, 0, 0, 0], 1.0))  # type: ignore[arg-type]
    assert brighter.tolist() == [[[132] * 3]]
    first = views.photometric(image, _Coins([1, 0, 1, 0, 0], 1.0))  # type: ignore[arg-type]
    assert first.tolist() == [[[198] * 3]]  # (100 + 32) * 1.5
    red = np.array([[[200, 100, 100]]], np.uint8)
    grey = views.photometric(red, _Coins([0, 0, 0, 1, 0], 0.0))  # type: ignore[arg-type]
    hsv = cv2.cvtColor(grey, cv2.COLOR_RGB2HSV)[0, 0].tolist()
    assert hsv[1] == pytest.approx(64, abs=2)  # saturation 128 halved, in 8 bits
    turned = views.photometric(red, _Coins([0, 1, 0, 1, 0], 0.0))  # type: ignore[arg-type]
    assert cv2.cvtColor(turned, cv2.COLOR_RGB2HSV)[0, 0, 0] == 17  # hue + 17 of 180


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_depth_views_move_depth_with_the_image(seed: int) -> None:
    depth = np.linspace(1, 9, 30, dtype=np.float32)[None].repeat(20, axis=0)
    image = np.round(25 * depth)[..., None].repeat(3, axis=2).astype(np.uint8)
    view = views.depth_view(image, depth, crop=(12, 16), brightness=(1.0, 1.0), rng=_rng(seed))
    assert view.image.shape == (3, 12, 16)
    assert view.truth.dtype == torch.float32
    inside = view.truth > 0
    level = view.image.mean(dim=0)[inside]
    # Tint and gamma keep the order of levels that are far apart.
    order = view.truth[inside].argsort()
    assert level[order][-8:].min() > level[order][:8].max()


def test_rotation_turns_both_clockwise_and_measures_no_corner() -> None:
    depth = np.zeros((21, 21), np.float32)
    depth[10, 18] = 5  # right of the middle
    image = np.repeat((depth * 50).astype(np.uint8)[..., None], 3, axis=2)
    turned_image, turned = views.rotated(image, depth, degrees=90)
    assert turned[18, 10] == 5  # is below it after a quarter turn clockwise
    assert turned_image[18, 10, 0] == 250
    full = np.ones((21, 41), np.float32)
    turned = views.rotated(np.zeros((21, 41, 3), np.uint8), full, degrees=30)[1]
    assert turned[0, 0] == 0
    assert set(np.unique(turned)) == {0, 1}


def test_colour_augmentation_leaves_half_of_the_views_alone() -> None:
    image, depth = np.full((8, 8, 3), 100, np.uint8), np.ones((8, 8), np.float32)
    same = normalise(torch.full((3, 1, 1), 100))
    alone = sum(
        torch.allclose(
            views.depth_view(image, depth, crop=(8, 8), brightness=(0.75, 1.25), rng=_rng(k)).image[
                :, 3:5, 3:5
            ],
            same.expand(3, 2, 2),
        )
        for k in range(60)
    )
    assert 20 <= alone <= 40
