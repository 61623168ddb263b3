"""Scenes: the same key gives the same picture, and picture, mask and depth agree."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.demo import backdrops, casting
from sauropod.demo.canvas import FARTHEST_M, NEAREST_M
from sauropod.demo.keys import generator
from sauropod.demo.scenes import CLASSES, SPECIES, WILD, Pose, render, subject

LABELS = (*CLASSES, *WILD, *SPECIES, "hazard")


@pytest.mark.parametrize("label", LABELS)
def test_every_class_fills_part_of_the_picture(label: str) -> None:
    scene = casting.portrait(label, (0, "test"), width=48, height=40)
    shot = render(scene).rendered
    empty = render(replace(scene, subjects=())).rendered
    assert shot.pixels.shape == (40, 48, 3)
    assert shot.pixels.dtype == np.uint8
    # The scene without its subject differs where the subject stands, and only near it.
    share = (shot.mask != empty.mask).mean()
    assert 0.03 < share < 0.8


@given(seed=st.integers(0, 2**32), width=st.integers(24, 80), height=st.integers(24, 80))
@settings(max_examples=12, deadline=None)
def test_pictures_repeat_and_truth_is_in_range(seed: int, width: int, height: int) -> None:
    scene = casting.street((seed, "s"), width=width, height=height, people=2)
    first, second = render(scene), render(scene)
    for a, b in zip(first.rendered, second.rendered, strict=True):
        assert np.array_equal(a, b)
        assert a.shape[:2] == (height, width)
    assert set(np.unique(first.rendered.mask)) <= set(range(1, len(backdrops.MEANINGS)))
    depth = first.rendered.depth
    assert depth.min() >= NEAREST_M * 0.9
    assert depth.max() <= FARTHEST_M
    low, high = first.faces[:, :2], first.faces[:, :2] + first.faces[:, 2:]
    assert (low >= 0).all()
    assert (high <= np.array([width, height])).all()


def test_sky_is_far_and_ground_comes_nearer() -> None:
    shot = render(casting.place("hills", (3, "p"), width=64, height=64)).rendered
    assert (shot.depth[shot.mask == backdrops.SKY] == FARTHEST_M).all()
    below = shot.depth[-20:, 30][shot.mask[-20:, 30] == backdrops.GROUND]
    assert (np.diff(below) <= 0).all()
    assert below[-1] == pytest.approx(NEAREST_M, abs=0.1)


def test_faces_cover_skin() -> None:
    scene = casting.company((1, "c"), width=96, height=96, people=1)
    shot = render(scene)
    left, top, width, height = shot.faces[0].astype(int)
    window = shot.rendered.mask[top : top + height, left : left + width]
    assert (window == backdrops.PERSON).mean() > 0.6


def test_colour_does_not_name_the_class_but_the_species_fixes_the_shape() -> None:
    mains = {subject("fish", generator(k)).palette[0] for k in range(40)}
    assert len(mains) > 8
    a, b = (subject("zebrawing", generator(k)) for k in range(2))
    assert a.texture == b.texture
    assert np.abs(a.shape - b.shape).max() < 0.11
    kin = subject("swallowtail", generator(0))
    assert np.abs(a.shape - kin.shape).max() > 0.2


def test_a_pose_moves_the_subject() -> None:
    scene = casting.portrait("car", (0, "m"), width=64, height=64)
    who, at = scene.subjects[0]
    columns = []
    for x in (0.3, 0.7):
        moved = Pose(x, at.y, 0.2)
        mask = render(replace(scene, subjects=((who, moved),))).rendered.mask
        columns.append(np.nonzero(mask == backdrops.VEHICLE)[1].mean())
    assert columns[1] - columns[0] == pytest.approx(0.4 * 64, abs=3)
