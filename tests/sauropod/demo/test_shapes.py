"""Outlines against hand-computed cases and their areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.demo import shapes


def area(outline: np.ndarray) -> float:
    """Return the area inside an outline (shoelace formula)."""
    x, y = outline.T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def test_lerp_and_turn_by_hand() -> None:
    assert shapes.lerp(0.25, 2, 6) == 3
    # y points down: a quarter turn clockwise takes right to down.
    assert shapes.turn(90) @ [1, 0] == pytest.approx([0, 1])


def test_box_and_ellipse_areas() -> None:
    assert area(shapes.box(0, 0, 2, 3)) == 6
    assert area(shapes.ellipse(5, 5, 2, 1, tilt=30)) == pytest.approx(2 * np.pi, rel=0.02)


def test_curve_passes_through_its_control_points() -> None:
    control = np.array([(0, 0), (1, 2), (3, 1)], dtype=float)
    path = shapes.curve(control, points=5)
    assert path[[0, 2, 4]] == pytest.approx(control)
    closed = shapes.curve(control, points=6, closed=True)
    assert closed[::2] == pytest.approx(control)


def test_straight_limb_is_a_bar_with_a_round_tip() -> None:
    bar = shapes.limb((0, 0), (4, 0), widths=(0.5, 0.5))
    assert bar[:, 0].max() == pytest.approx(4.5, abs=0.03)
    assert area(bar) == pytest.approx(4 + np.pi / 8, rel=0.03)


@given(count=st.integers(3, 12), outer=st.floats(0.5, 2))
@settings(max_examples=10)
def test_rays_alternate_between_two_radii(count: int, outer: float) -> None:
    star = shapes.rays(count, inner=outer / 2, outer=outer)
    radius = np.hypot(*star.T)
    assert star.shape == (2 * count, 2)
    assert radius[::2] == pytest.approx(outer)
    assert radius[1::2] == pytest.approx(outer / 2)


def test_mirrored_keeps_heights() -> None:
    outline = shapes.polygon((1, 2), (3, 4), (5, 0))
    assert shapes.mirrored(outline).tolist() == [[-1, 2], [-3, 4], [-5, 0]]
