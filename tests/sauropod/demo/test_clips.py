"""Motions: where each of them takes the subject, by hand."""

import pytest

from sauropod.demo.clips import MOTIONS, clip
from sauropod.demo.scenes import Pose

START = Pose(0.3, 0.6, 0.24)


def test_where_the_motions_lead() -> None:
    slide, spin = MOTIONS["Slide"], MOTIONS["Spin"]
    assert (slide(START, 0, 0.1).x, slide(START, 1, 0.1).x) == pytest.approx((0.12, 0.88))
    assert (slide(START, 0, 0.9).x, slide(START, 1, 0.9).x) == pytest.approx((0.88, 0.12))
    assert spin(START, 0.5, 0.25).angle == 270
    assert MOTIONS["Drop"](START, 1, 0).y == pytest.approx(0.85)
    assert MOTIONS["Bounce"](START, 0, 0).y == pytest.approx(0.72)
    assert MOTIONS["Bounce"](START, 0.25, 0).y == pytest.approx(0.3)
    assert MOTIONS["Approach"](START, 1, 0).size > 4 * MOTIONS["Approach"](START, 0, 0).size


@pytest.mark.parametrize("action", MOTIONS)
def test_a_clip_keeps_its_place_and_moves_its_subject(action: str) -> None:
    shots = clip(action, "mug", (0, "clip"), size=40, frames=4)
    assert len(shots) == 4
    first, second = (shot.rendered.pixels.astype(int) for shot in shots[:2])
    changed = (abs(first - second).sum(-1) > 0).mean()
    assert 0.005 < changed < 0.95
