"""retrieve.index: brute force on 1,000 points, L2 always, and files that do not fit each other."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from sauropod import schema
from sauropod.errors import InputError
from sauropod.retrieve import index
from sauropod.retrieve.vectors import StoredVectors

HERE = Path("x.faiss")
QUICK = index.Training(list_iterations=4, code_iterations=4, rotation_iterations=4)
FACTORIES = ["Flat", "IVF8,Flat", "PQ16x4", "OPQ8_16,IVF8,PQ8x4fs", "OPQ8_16,IVF8_HNSW8,PQ8x4"]


@pytest.fixture(scope="module")
def points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, 32))
    vectors = centres[np.arange(1000) % 100] + 0.4 * rng.standard_normal((1000, 32))
    ids = np.sort(rng.choice(2**62, 1000, replace=False)).astype(np.uint64)
    return ids, vectors.astype(np.float16)


def _cosines(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    a, b = queries.astype(np.float64), vectors.astype(np.float64)
    return a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("factory", FACTORIES)
def test_neighbours_of_brute_force(
    factory: str, points: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    ids, vectors = points
    shards = [(ids[:300], vectors[:300]), (ids[300:], vectors[300:])]
    built = index.train(vectors, factory=factory, training=QUICK)
    index.add(built, shards)
    index.save(built, tmp_path / "x.faiss")
    loaded = index.load(tmp_path / "x.faiss", num_probes=8)
    assert loaded.metric_type == faiss.METRIC_L2
    assert loaded.ntotal == 1000
    proposed = index.candidates(loaded, vectors[:50], count=200, origin=HERE)
    similarities = index.exact_similarities(vectors[:50], proposed, shards, origin=HERE)
    found, best = index.nearest(proposed, similarities, count=4, but=ids[:50])

    cosines = _cosines(vectors[:50], vectors)
    cosines[np.arange(50), np.arange(50)] = -2
    truth = np.argsort(-cosines, axis=1)[:, :4]
    hits, total = index.recall(found, ids.astype(np.int64)[truth])
    assert total == 200
    assert hits == 200 if "Flat" in factory else hits > 190
    # Whatever the codes say, the similarity is the exact cosine of the pair.
    column = {int(name): i for i, name in enumerate(ids)}
    expected = [[cosines[q, column[int(i)]] for i in row] for q, row in enumerate(found)]
    np.testing.assert_allclose(best, expected, atol=1e-6)


def test_training_twice_gives_the_same_index(points: tuple[np.ndarray, np.ndarray]) -> None:
    ids, vectors = points
    found = []
    for _ in range(2):
        built = index.train(vectors, factory="OPQ8_16,IVF8,PQ8x4", training=QUICK)
        index.add(built, [(ids, vectors)])
        found.append(faiss.serialize_index(built).tobytes())
    assert found[0] == found[1]


def test_exact_nearest_is_brute_force(points: tuple[np.ndarray, np.ndarray]) -> None:
    ids, vectors = points
    shards = [(ids[:1], vectors[:1]), (ids[1:], vectors[1:])]
    found, best = index.exact_nearest(vectors[:20], shards, count=6, but=ids[:20])
    cosines = _cosines(vectors[:20], vectors)
    cosines[np.arange(20), np.arange(20)] = -2
    np.testing.assert_array_equal(found, ids.astype(np.int64)[np.argsort(-cosines)[:, :6]])
    np.testing.assert_allclose(best, -np.sort(-cosines)[:, :6], atol=1e-6)


def test_ties_go_to_the_smaller_id_and_padding_stays_padding() -> None:
    proposed = np.array([[9, 3, -1, 5]])
    similarities = np.array([[0.5, 0.5, -np.inf, 0.9]], np.float32)
    found, best = index.nearest(proposed, similarities, count=4, but=np.array([5], np.uint64))
    assert found.tolist() == [[3, 9, -1, -1]]
    assert best[0, :2].tolist() == [0.5, 0.5]
    assert np.isneginf(best[0, 2:]).all()


def test_few_vectors_are_searched_exactly() -> None:
    built = index.train(np.eye(8, dtype=np.float16), factory="IVF256,PQ4", training=QUICK)
    assert isinstance(built, faiss.IndexIDMap2)
    assert built.metric_type == faiss.METRIC_L2


def test_recall_counts_by_hand() -> None:
    found = np.array([[1, 2, 3], [4, -1, -1]])
    truth = np.array([[3, 9], [4, -1]])
    assert index.recall(found, truth) == (2, 3)


def test_unit_leaves_zero_rows_alone() -> None:
    rows = index.unit(np.array([[3, 4], [0, 0]], np.float16))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])


def test_user_mistakes_are_one_sentence(tmp_path: Path) -> None:
    sample = np.eye(32, dtype=np.float16)
    with pytest.raises(InputError, match="factory string for 32 dimensions"):
        index.train(sample, factory="IVF8,PQ5", training=QUICK)
    (tmp_path / "junk.faiss").write_bytes(b"junk")
    for name in ("junk.faiss", "missing.faiss"):
        with pytest.raises(InputError, match="a Faiss index"):
            index.load(tmp_path / name, num_probes=1)
    faiss.write_index(faiss.IndexFlatIP(4), str(tmp_path / "ip.faiss"))
    with pytest.raises(InputError, match="METRIC_L2"):
        index.load(tmp_path / "ip.faiss", num_probes=1)
    with pytest.raises(InputError, match="1 candidates with no stored vector"):
        index.exact_similarities(
            sample[:1], np.array([[5]]), [(np.arange(5, dtype=np.uint64), sample[:5])], origin=HERE
        )
    with pytest.raises(InputError, match="at least one vector"):
        index.build(StoredVectors([], schema.EMBEDDINGS), factory="Flat", training=QUICK)
