"""dedup.nearest: the best neighbour against sorting, however the edges are cut."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.dedup.nearest import Nearest

ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 9), st.sampled_from([0.5, 0.6, 0.7])), max_size=40
)


@given(ROWS, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_most_similar_then_smallest(rows: list[tuple[int, int, float]], chunk: int) -> None:
    nearest = Nearest(10, images=5)
    for start in range(0, len(rows), chunk):
        image, other, similarity = map(np.array, zip(*rows[start : start + chunk], strict=True))
        nearest.add(image, other, similarity.astype(np.float32))
    for image in range(5):
        mine = sorted((-s, other) for i, other, s in rows if i == image)
        assert nearest.found[image] == bool(mine)
        if mine:
            assert nearest.number[image] == mine[0][1]
            assert nearest.similarity[image] == np.float32(-mine[0][0])


def test_forget() -> None:
    nearest = Nearest(10, images=2)
    nearest.add(np.array([0, 1]), np.array([7, 8]), np.array([0.5, 0.5], np.float32))
    nearest.forget(np.array([True, False]))
    assert nearest.found.tolist() == [False, True]
    nearest.add(np.array([0]), np.array([9]), np.array([0.1], np.float32))
    assert nearest.number.tolist() == [9, 8]
