"""retrieve.members: what is not searched could not have been nearer."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.retrieve import members
from sauropod.retrieve.members import Members, Nearest


def _brute(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((points.astype(np.float64)[:, None] - centroids[None]) ** 2).sum(2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_labels_are_those_of_a_full_search(seed: int, num_moved: int) -> None:
    """Centroids jump about, some or all of them, several times."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((300, 6)).astype(np.float16)
    centroids = rng.standard_normal((12, 6)).astype(np.float32)
    found = Members(points, 12)
    for _ in range(4):
        sums, sizes = found.add_up(centroids)
        apart = _brute(points, centroids)
        np.testing.assert_array_equal(found.labels, apart.argmin(1))
        np.testing.assert_allclose(found.distances, apart.min(1), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(sizes, np.bincount(apart.argmin(1), minlength=12))
        for cluster in range(12):
            inside = points[apart.argmin(1) == cluster].astype(np.float64)
            np.testing.assert_array_equal(sums[cluster], inside.sum(0))
        centroids = centroids.copy()
        moved = rng.choice(12, num_moved, replace=False)
        centroids[moved] += rng.standard_normal((num_moved, 6)) * rng.choice([0.1, 2])


def test_nothing_is_searched_where_nothing_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float16)
    centroids = points[:5].astype(np.float32)
    found = Members(points, 5)
    sums, _ = found.add_up(centroids)
    monkeypatch.setattr(Nearest, "__call__", lambda _self, _rows: pytest.fail("searched"))
    again, _ = found.add_up(centroids)
    np.testing.assert_array_equal(again, sums)


def test_restored_goes_on_like_one_that_never_stopped() -> None:
    rng = np.random.default_rng(1)
    points = rng.standard_normal((200, 4)).astype(np.float16)
    centroids = points[:20].astype(np.float32)
    whole = Members(points, 20)
    whole.add_up(centroids)
    other = Members(points, 20)
    other.restore(*whole.state(), centroids)
    after = centroids + np.float32(0.1) * (np.arange(20) % 3 == 0)[:, None]
    for mine, theirs in zip(whole.add_up(after), other.add_up(after), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(whole.labels, other.labels)
    np.testing.assert_array_equal(whole.distances, other.distances)


@pytest.mark.parametrize(("ranks", "expected"), [(1, None), (4, [3])])
def test_every_rank_searches_on_its_own_gpu(
    ranks: int, expected: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: ranks > 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 3)
    monkeypatch.setattr(members, "on_gpu", lambda: True)
    asked = []

    def copied(index: faiss.Index, *, gpus: list[int] | None) -> faiss.Index:
        asked.append(gpus)
        return index

    monkeypatch.setattr(members, "to_gpus", copied)
    Nearest(np.zeros((2, 4), np.float32))
    assert asked == [expected]
