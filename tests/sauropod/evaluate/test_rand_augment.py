"""RandAugment: every operation by hand or by numpy, and how often they are drawn."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from sauropod.evaluate import rand_augment as module
from sauropod.evaluate.rand_augment import FILL, OPERATIONS, applied, rand_augment


def _rng(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def _photo() -> Image.Image:
    return Image.fromarray(_rng(7).integers(0, 256, (20, 20, 3), dtype=np.uint8))


def _by(name: str, level: float, sign: float = 1.0) -> np.ndarray:
    return np.asarray(applied(name, _photo(), level=level, sign=sign)).astype(int)


def test_levels_by_numpy() -> None:
    x = np.asarray(_photo()).astype(int)
    np.testing.assert_array_equal(_by("invert", 0.9), 255 - x)
    np.testing.assert_array_equal(_by("solarize", 0.5), np.where(x < 128, x, 255 - x))
    np.testing.assert_array_equal(_by("solarize_add", 0.9), np.where(x < 128, x + 99, x))
    np.testing.assert_array_equal(_by("posterize", 0.5), x // 64 * 64)  # two bits of eight
    np.testing.assert_array_equal(_by("posterize", 1.0), np.zeros_like(x))
    brighter, darker = (np.clip(factor * x, 0, 255) for factor in (1.45, 0.55))
    assert np.abs(_by("brightness", 0.5) - brighter).max() <= 1
    assert np.abs(_by("brightness", 0.5, -1.0) - darker).max() <= 1
    assert np.abs(_by("brightness", 1.0, -1.0) - 0.1 * x).max() <= 1


@pytest.mark.parametrize("name", ["colour", "contrast", "brightness", "sharpness", "rotate"])
def test_level_zero_changes_nothing(name: str) -> None:
    np.testing.assert_array_equal(_by(name, 0.0), np.asarray(_photo()))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_translation_by_pixels(sign: float) -> None:
    """0.45 of 20 pixels at level 1; what comes in from outside is the mean colour."""
    x = np.asarray(_photo())
    across, down = _by("translate_x", 1.0, sign), _by("translate_y", 1.0, sign)
    if sign > 0:
        np.testing.assert_array_equal(across[:, :11], x[:, 9:])
        np.testing.assert_array_equal(down[:11], x[9:])
        assert (across[:, 11:] == FILL).all()
    else:
        np.testing.assert_array_equal(across[:, 9:], x[:, :11])
        assert (down[:9] == FILL).all()


def test_shears_keep_one_axis_and_turns_keep_the_middle() -> None:
    striped = np.zeros((21, 21, 3), np.uint8)
    striped[10] = 255
    image = Image.fromarray(striped)
    sheared = np.asarray(applied("shear_x", image, level=1.0, sign=1.0))
    assert (sheared[10, 3:-6] == 255).all()
    assert (np.asarray(applied("shear_y", image, level=1.0, sign=1.0))[10] < 255).any()
    turned = np.asarray(applied("rotate", image, level=1.0, sign=1.0))
    assert (turned[10, 10] > 200).all()
    assert turned[10, 0, 0] < 100


@pytest.mark.parametrize("name", OPERATIONS)
def test_images_stay_images(name: str) -> None:
    for sign in (-1.0, 1.0):
        found = applied(name, _photo(), level=0.9, sign=sign)
        assert (found.mode, found.size) == ("RGB", (20, 20))


def test_operations_are_drawn_evenly_and_half_of_them_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, float, float]] = []

    def spy(name: str, image: Image.Image, *, level: float, sign: float) -> Image.Image:
        seen.append((name, level, sign))
        return image

    monkeypatch.setattr(module, "applied", spy)
    for key in range(3000):
        rand_augment(_photo(), _rng(key), magnitude=9.0)
    names, levels, signs = zip(*seen, strict=True)
    assert len(seen) / 6000 == pytest.approx(0.5, abs=0.03)
    counts = Counter(names)
    assert set(counts) == set(OPERATIONS)
    assert min(counts.values()) > 0.7 * 3000 / 15
    assert np.mean(signs) == pytest.approx(0, abs=0.06)
    assert np.mean(levels) == pytest.approx(0.9, abs=0.01)
    assert np.std(levels) == pytest.approx(0.05, abs=0.01)
    assert max(levels) <= 1.0
