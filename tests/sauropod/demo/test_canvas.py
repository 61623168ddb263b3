"""The canvas: picture, mask and depth come from one id map."""

import numpy as np
import pytest

from sauropod.demo.canvas import FARTHEST_M, PATTERNS, Canvas, develop
from sauropod.demo.keys import generator
from sauropod.demo.shapes import box


def half_and_half() -> Canvas:
    """Paint the left half red at 3 m and the right half ground."""
    canvas = Canvas(20, 10, horizon=0.5)
    canvas.fill(box(0, 0, 1, 1), canvas.ink((0, 0.5, 0), label=2))
    canvas.fill(box(0, 0, 0.475, 1), canvas.ink((1, 0, 0), label=7, depth=3.0))
    return canvas


def test_one_id_map_gives_picture_mask_and_depth() -> None:
    seen = develop(half_and_half(), rng=generator(0), light=0.0, exposure=1.0)
    assert seen.mask[:, :9].tolist() == [[7] * 9] * 10
    assert seen.mask[:, 10:].tolist() == [[2] * 10] * 10
    assert (seen.depth[:, :9] == 3).all()
    red = seen.pixels[:, :9].astype(int)
    assert (red[..., 0] > 200).all()
    assert (red[..., 1:] == 0).all()


def test_ground_depth_by_hand() -> None:
    canvas = Canvas(20, 10, horizon=0.5)
    # Twice as far where half as much ground lies below the horizon line.
    found = canvas.ground_depth(np.array([1.0, 0.75, 0.625, 0.5, 0.1]))
    assert found == pytest.approx([1, 2, 4, FARTHEST_M, FARTHEST_M])


def test_exposure_scales_the_picture() -> None:
    bright, dark = (
        develop(half_and_half(), rng=generator(0), light=0.0, exposure=e).pixels.astype(float)
        for e in (0.8, 0.4)
    )
    assert dark == pytest.approx(bright / 2, abs=1.1)


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_have_two_colours(name: str) -> None:
    u, v = np.meshgrid(np.linspace(-20, 20, 200), np.linspace(-20, 20, 200))
    share = (PATTERNS[name](u, v) > 0).mean()
    assert 0.1 < share < 0.9
