"""dedup.copies: edges against brute force, and no reference copy is missed beyond k neighbours."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.dedup.copies import Collection, Search, audit, edges
from sauropod.retrieve import index
from sauropod.retrieve.vectors import Shard, StoredVectors
from sauropod.schema import EDGES

SEARCH = Search(neighbours=5, over_fetch=2, threshold=0.6)


def _collection(
    folder: Path, vectors: np.ndarray, factory: str = "Flat"
) -> tuple[Collection, Shard]:
    ids = np.arange(10, 10 + len(vectors), dtype=np.uint64)
    path = folder / "pool.parquet"
    frame = pl.DataFrame({"image_id": ids, "descriptor": schema.vector_column(vectors)})
    schema.write(frame, path, schema.DESCRIPTORS, made_by={})
    stored = StoredVectors([path], schema.DESCRIPTORS)
    built = index.build(stored, factory=factory, training=index.Training(sample=1000))
    collection = Collection(index=built, origin=folder / "x.faiss", stored=stored)
    return collection, (ids, vectors.astype(np.float16))


@pytest.fixture
def clustered() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((60, 16))
    return centres[np.arange(300) % 60] + 0.5 * rng.standard_normal((300, 16))


def test_edges_are_brute_force(tmp_path: Path, clustered: np.ndarray) -> None:
    collection, queries = _collection(tmp_path, clustered)
    found = edges(queries, collection, SEARCH)
    assert found.schema == pl.Schema(EDGES.columns)
    half = queries[1].astype(np.float64)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    cosines = half @ half.T
    np.fill_diagonal(cosines, -1)
    expected = {
        (int(queries[0][a]), int(queries[0][b]))
        for a in range(300)
        for b in np.argsort(-cosines[a])[:5]
        if cosines[a, b] > 0.6
    }
    assert set(found.select("image_id", "neighbour_id").iter_rows()) == expected
    a, b = (found[name].to_numpy().astype(int) - 10 for name in ("image_id", "neighbour_id"))
    np.testing.assert_allclose(found["similarity"], cosines[a, b], atol=1e-6)


def test_threshold_is_strict(tmp_path: Path) -> None:
    collection, _ = _collection(tmp_path, np.eye(3))
    queries = (np.array([500], np.uint64), np.array([[3, 4, 0]], np.float16))
    search = Search(neighbours=3, over_fetch=1, threshold=0.6)
    similarities = edges(queries, collection, search)["similarity"].to_list()
    assert similarities == [pytest.approx(0.8)]


def test_a_reference_finds_every_copy(tmp_path: Path) -> None:
    """Forty copies in the pool, five neighbours a query: only the complete search has them all."""
    rng = np.random.default_rng(1)
    copies = np.eye(16)[0] + 0.05 * rng.standard_normal((40, 16))
    collection, _ = _collection(tmp_path, np.concatenate([copies, rng.standard_normal((40, 16))]))
    queries = (np.array([900, 901], np.uint64), np.eye(16, dtype=np.float16)[:2])
    assert edges(queries, collection, SEARCH).filter(pl.col("image_id") == 900).height == 5
    found = edges(queries, collection, SEARCH, complete=True)
    copied = found.filter(pl.col("image_id") == 900)
    assert set(copied["neighbour_id"]) >= set(range(10, 50))
    assert copied["similarity"].is_sorted(descending=True)
    assert found.n_unique(["image_id", "neighbour_id"]) == found.height


def test_everything_may_be_a_copy(tmp_path: Path) -> None:
    collection, queries = _collection(tmp_path, np.ones((12, 4)))
    assert edges(queries, collection, SEARCH, complete=True).height == 12 * 11


def test_audit_measures_recall(tmp_path: Path, clustered: np.ndarray) -> None:
    exact, queries = _collection(tmp_path, clustered)
    hits, truth = audit(queries, exact, SEARCH, size=50, seed=0)
    assert hits == truth > 100
    coarse, queries = _collection(tmp_path, clustered, "IVF6,Flat")
    found, everything = audit(queries, coarse, SEARCH, size=50, seed=0)
    assert everything == truth
    assert found < truth
    assert audit(queries, exact, SEARCH, size=0, seed=0) == (0, 0)


def test_no_queries(tmp_path: Path, clustered: np.ndarray) -> None:
    collection, _ = _collection(tmp_path, clustered)
    nothing = (np.empty(0, np.uint64), np.empty((0, 1), np.float16))
    assert edges(nothing, collection, SEARCH, complete=True).is_empty()
    assert audit(nothing, collection, SEARCH, size=5, seed=0) == (0, 0)
