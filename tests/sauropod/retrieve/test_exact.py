"""retrieve.exact: brute force in float64, ties by id, and cuts that change nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.retrieve import exact


def _points(num: int, width: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((num // 10, width))
    vectors = centres[np.arange(num) % len(centres)] + 0.4 * rng.standard_normal((num, width))
    ids = np.sort(rng.choice(2**62, num, replace=False)).astype(np.uint64)
    return ids, vectors.astype(np.float16)


def _cosines(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    a, b = queries.astype(np.float64), vectors.astype(np.float64)
    return a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)


def test_exact_nearest_is_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "TILE", (7, 64))
    ids, vectors = _points(1000, 32)
    found, best = exact.exact_nearest(vectors[:20], (ids, vectors), count=6, but=ids[:20])
    cosines = _cosines(vectors[:20], vectors)
    cosines[np.arange(20), np.arange(20)] = -2
    np.testing.assert_array_equal(found, ids.astype(np.int64)[np.argsort(-cosines)[:, :6]])
    np.testing.assert_allclose(best, -np.sort(-cosines)[:, :6], atol=1e-6)


def test_above_leaves_out_what_nobody_asked_for() -> None:
    ids, vectors = _points(300, 16)
    everything, cosines = exact.exact_nearest(vectors, (ids, vectors), count=8, but=ids)
    found, best = exact.exact_nearest(vectors, (ids, vectors), count=8, but=ids, above=0.7)
    near = cosines > 0.7
    width = found.shape[1]
    np.testing.assert_array_equal(
        np.where(best > 0.7, found, -1)[near[:, :width]], everything[:, :width][near[:, :width]]
    )
    assert (best > 0.7).sum() == near.sum() > 100


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 9))
def test_blocks_change_nothing(seed: int, cut: int, count: int) -> None:
    """Many exact ties too: there are twelve distinct vectors only."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((12, 8)).astype(np.float16)[rng.integers(0, 12, 60)]
    ids = np.sort(rng.choice(1000, 60, replace=False)).astype(np.uint64)
    queries = rng.standard_normal((5, 8)).astype(np.float16)
    whole = exact.exact_nearest(queries, (ids, vectors), count=count)
    joined = exact.nothing(5)
    for start in range(0, 60, cut):
        part = ids[start : start + cut], vectors[start : start + cut]
        joined = exact.joined(joined, exact.exact_nearest(queries, part, count=count), count=count)
    np.testing.assert_array_equal(joined[0], whole[0])
    np.testing.assert_array_equal(joined[1], whole[1])


def test_a_pair_has_one_cosine() -> None:
    """Whoever asks, and with whatever else it is computed."""
    _, vectors = _points(90, 100)
    at = np.tile(np.arange(90), (90, 1))
    table = exact.similarities(vectors, at, vectors)
    np.testing.assert_array_equal(table, table.T)
    np.testing.assert_allclose(table, _cosines(vectors, vectors), atol=1e-6)
    alone = [exact.similarities(vectors[i : i + 1], at[:1, i + 1 : i + 3], vectors) for i in (3, 5)]
    np.testing.assert_array_equal(np.concatenate(alone), [table[3, 4:6], table[5, 6:8]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 70), st.tuples(*[st.integers(1, 30)] * 3))
def test_a_table_of_any_shape_is_its_pairs(
    seed: int, width: int, sizes: tuple[int, int, int]
) -> None:
    """Bit for bit, whoever is the query: thresholds and ties must not depend on a batch."""
    rng, (q, c, together) = np.random.default_rng(seed), sizes
    vectors = rng.standard_normal((40, width)).astype(np.float16)
    mine, at = rng.integers(0, 40, q), rng.integers(-1, 40, (q, c))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "PAIRS", together)
        table = exact.similarities(vectors[mine], at, vectors)
    for row, column in zip(rng.integers(0, q, 5), rng.integers(0, c, 5), strict=True):
        asked, other = mine[row], at[row, column]
        if other < 0:
            assert np.isneginf(table[row, column])
            continue
        one = exact.similarities(vectors[[asked]], np.array([[other]]), vectors)
        back = exact.similarities(vectors[[other]], np.array([[asked]]), vectors)
        assert table[row, column] == one[0, 0] == back[0, 0]


def test_zero_vectors_are_like_nothing() -> None:
    vectors = np.array([[0, 0], [3, 4]], np.float16)
    table = exact.similarities(vectors, np.array([[0, 1], [1, -1]]), vectors)
    assert table.tolist() == [[0, 0], [1, -np.inf]]


def test_ties_go_to_the_smaller_id_and_padding_stays_padding() -> None:
    proposed = np.array([[9, 3, -1, 5]])
    cosines = np.array([[0.5, 0.5, -np.inf, 0.9]], np.float32)
    found, best = exact.nearest(proposed, cosines, count=4, but=np.array([5], np.uint64))
    assert found.tolist() == [[3, 9, -1, -1]]
    assert best[0, :2].tolist() == [0.5, 0.5]
    assert np.isneginf(best[0, 2:]).all()


def test_nothing_to_search_or_for() -> None:
    ids, vectors = _points(20, 4)
    for queries, stored in ((vectors[:0], (ids, vectors)), (vectors, (ids[:0], vectors[:0]))):
        found, best = exact.exact_nearest(queries, stored, count=3)
        assert found.shape == best.shape == (len(queries), 0)


def test_recall_counts_by_hand() -> None:
    found = np.array([[1, 2, 3], [4, -1, -1]])
    truth = np.array([[3, 9], [4, -1]])
    assert exact.recall(found, truth) == (2, 3)
