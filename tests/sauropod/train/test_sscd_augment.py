"""SSCD's augmentations: sizes, keyed randomness, and each edit does what it says."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.train import sscd_augment
from sauropod.train.config import TrainSscd

KNOBS = TrainSscd(resolution=32)


def rng(key: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def photo(height: int = 60, width: int = 80, key: int = 0) -> np.ndarray:
    coarse = rng(key).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@settings(max_examples=40, deadline=None)
@given(key=st.integers(0, 10_000), height=st.integers(1, 90), width=st.integers(1, 90))
def test_any_image_gives_a_square(key: int, height: int, width: int) -> None:
    image = np.full((height, width, 3), 99, np.uint8)
    before = image.copy()
    busy = dataclasses.replace(KNOBS, text_share=1, sticker_share=1, rotate_share=1, jpeg_share=1)
    for knobs in (KNOBS, busy):
        out = sscd_augment.copied(image, rng(key), knobs=knobs)
        assert out.shape == (32, 32, 3)
        assert out.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_the_key_decides() -> None:
    image = photo()
    a, b, c = (sscd_augment.copied(image, rng(key), knobs=KNOBS) for key in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_whole_crop_is_a_plain_resize_or_mirror() -> None:
    image = photo(64, 64)
    for key in range(20):
        out = sscd_augment.cropped(image, rng(key), scale=(1, 1), size=32)
        assert out.shape == (32, 32, 3)
    square = sscd_augment.cropped(image[:32, :32], rng(0), scale=(4, 4), size=32)
    np.testing.assert_array_equal(square, image[:32, :32])


def test_a_banner_gives_its_middle() -> None:
    """No box of a whole banner's area fits; the widest allowed one is 4:3."""
    image = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None], (20, 200, 3))
    out = sscd_augment.cropped(image, rng(0), scale=(1, 1), size=27)
    assert (out.min(), out.max()) == (86, 112)


@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_crops_have_the_area_asked_for(scale: float) -> None:
    """Counted on an image whose pixels say where they are."""
    y, x = np.mgrid[:100, :200].astype(np.uint8)
    image = np.stack([x, y, x], axis=-1)
    areas = []
    for key in range(60):
        out = sscd_augment.cropped(image, rng(key), scale=(scale, scale), size=100)
        areas.append(float(np.ptp(out[..., 0])) * float(np.ptp(out[..., 1])))
    assert np.median(areas) / 20_000 == pytest.approx(scale, rel=0.15)


def test_colours_at_strength_zero_only_turn_grey() -> None:
    image = photo()
    grey = 0
    for key in range(50):
        out = sscd_augment.recoloured(image, rng(key), jitter=(0, 0, 0, 0), gray_share=0.2)
        if np.ptp(out.astype(int), axis=-1).max() <= 1:
            grey += 1
        else:  # the hue shift of zero goes through HSV and back
            assert np.abs(out.astype(int) - image).max() <= 12
    assert 3 <= grey <= 20


@pytest.mark.parametrize("edit", [sscd_augment.with_text, sscd_augment.with_sticker])
def test_overlays_change_a_part(edit: object) -> None:
    image = photo()
    shares = [(edit(image, rng(key)) != image).any(axis=-1).mean() for key in range(30)]
    assert 0 < np.median(shares) < 0.5


def test_quarter_turn_equals_rot90() -> None:
    image = photo(40, 60)
    out = sscd_augment.turned(image, degrees=90)
    assert out.shape == (60, 40, 3)
    difference = np.abs(out.astype(int) - np.rot90(image))
    assert np.median(difference) <= 12


def test_jpeg_keeps_channels_in_place() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 200
    out = sscd_augment.through_jpeg(image, quality=95)
    assert np.abs(out.astype(int) - image).max() < 12
    worse = sscd_augment.through_jpeg(photo(), quality=5)
    assert np.abs(worse.astype(int) - photo()).mean() > 2


@pytest.mark.parametrize("edit", [sscd_augment.with_text, sscd_augment.with_sticker])
def test_overlays_stay_inside(edit: object) -> None:
    """Drawn on a large image, nothing reaches the frame more often than chance would."""
    image = np.full((300, 500, 3), 128, np.uint8)
    seen = []
    for key in range(40):
        changed = (edit(image, rng(key)) != image).any(axis=-1)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        if rows.size:
            seen.append((rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))
    heights = np.array(seen)[:, 0]
    assert heights.min() > 0.05 * 300
    assert heights.max() < 0.6 * 300
