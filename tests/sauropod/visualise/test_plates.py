from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sauropod.visualise.paint import GAP
from sauropod.visualise.pca import foregrounds
from sauropod.visualise.plates import attention_plate, matches_plate, pca_plate, strongest


def test_plates_of_a_group(seen: Callable, planted: Callable) -> None:
    pictures = [seen(planted((6, 7), (2, 2, 4, 5), seed=i)[0], seed=i) for i in range(3)]
    masks = foregrounds(pictures, threshold=0.0)
    width, height = 56, 48
    pca = pca_plate(pictures, masks)
    assert pca.size == (3 * (width + GAP) + GAP, 2 * (height + GAP) + GAP)
    attention = attention_plate(pictures, mass=1.0)
    assert attention.size == (3 * (width // 2 + GAP) + GAP, 3 * (height // 2 + GAP) + GAP)
    first = np.asarray(pca)[GAP : GAP + height, GAP : GAP + width]
    np.testing.assert_array_equal(first, np.asarray(pictures[0].image))
    matches = matches_plate(pictures, masks, radius=1.0, most=5, patch=8)
    assert matches.size == (2 * width + GAP + 2 * GAP, 2 * (height + GAP) + GAP)
    again = matches_plate(pictures, masks, radius=1.0, most=5, patch=8)
    assert matches.tobytes() == again.tobytes()


def test_many_heads_go_on_in_the_next_row(seen: Callable, planted: Callable) -> None:
    picture = seen(planted((4, 4), (1, 1, 3, 3))[0])
    many = replace(picture, attention=picture.attention.repeat(4, 1))
    plate = np.asarray(attention_plate([many], mass=1.0))
    assert plate.shape == (2 * (16 + GAP) + GAP, 7 * (16 + GAP) + GAP, 3)
    assert (plate[16 + 2 * GAP :, : 16 + GAP] == 255).all()
    assert (plate[16 + 2 * GAP :, 3 * (16 + GAP) :] == 255).all()
    np.testing.assert_array_equal(
        plate[GAP : GAP + 16, 16 + 2 * GAP : 32 + 2 * GAP],
        plate[16 + 2 * GAP : 32 + 2 * GAP, 16 + 2 * GAP : 32 + 2 * GAP],
    )


def test_strongest_by_hand() -> None:
    attention = np.array([0.1, 0.4, 0.2, 0.3])
    assert strongest(attention, mass=1.0) == pytest.approx([0.25, 1.0, 0.5, 0.75])
    assert strongest(attention, mass=0.6) == pytest.approx([0.0, 1.0, 0.0, 0.75])
    assert strongest(attention, mass=0.0) == pytest.approx([0.0, 0.0, 0.0, 0.0])
    assert strongest(np.full(4, 0.25), mass=0.5) == pytest.approx([1.0, 1.0, 0.0, 0.0])
