"""dedup.copies: edges against brute force, and no reference copy is missed beyond k neighbours."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.dedup.copies import Search, audit, blockwise, pairs, sample
from sauropod.dedup.edges import merged, recall
from sauropod.retrieve import index
from sauropod.retrieve.search import Block
from sauropod.retrieve.vectors import Shard
from sauropod.schema import EDGES, PAIRS

SEARCH = Search(neighbours=5, over_fetch=2, threshold=0.6)


def _block(vectors: np.ndarray, factory: str = "Flat", *, first: int = 10) -> tuple[Block, Shard]:
    half = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    shard = np.arange(first, first + len(vectors), dtype=np.uint64), half
    built = index.train(half, factory=factory, training=index.Training(sample=1000))
    index.fill(built, [shard])
    return Block(ids=shard[0], vectors=half, index=built, origin=Path("x.faiss")), shard


@pytest.fixture
def clustered() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((60, 16))
    return centres[np.arange(300) % 60] + 0.5 * rng.standard_normal((300, 16))


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat"])
def test_pairs_are_brute_force(clustered: np.ndarray, factory: str) -> None:
    block, queries = _block(clustered, factory)
    if factory != "Flat":
        block.index.nprobe = 4
    found = pairs(queries, block, SEARCH)
    assert found.schema == pl.Schema(PAIRS.columns)
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


def test_threshold_is_strict() -> None:
    block, _ = _block(np.eye(3))
    queries = (np.array([500], np.uint64), np.array([[3, 4, 0]], np.float16))
    search = Search(neighbours=3, over_fetch=1, threshold=0.6)
    assert pairs(queries, block, search)["similarity"].to_list() == [pytest.approx(0.8)]


@pytest.mark.parametrize("factory", ["Flat", "IVF1,Flat"])
def test_a_reference_finds_every_copy(factory: str) -> None:
    """Forty copies in the pool, five neighbours a query: only the complete search has them all."""
    rng = np.random.default_rng(1)
    copies = np.eye(16)[0] + 0.05 * rng.standard_normal((40, 16))
    block, _ = _block(np.concatenate([copies, rng.standard_normal((40, 16))]), factory)
    queries = (np.array([900, 901], np.uint64), np.eye(16, dtype=np.float16)[:2])
    assert pairs(queries, block, SEARCH).filter(pl.col("image_id") == 900).height == 5
    found = pairs(queries, block, SEARCH, complete=True)
    copied = found.filter(pl.col("image_id") == 900)
    assert set(copied["neighbour_id"]) >= set(range(10, 50))
    assert copied["similarity"].is_sorted(descending=True)
    assert found.n_unique(["image_id", "neighbour_id"]) == found.height


def test_everything_may_be_a_copy() -> None:
    block, queries = _block(np.ones((12, 4)))
    assert pairs(queries, block, SEARCH, complete=True).height == 12 * 11


def _parts(
    folder: Path, vectors: np.ndarray, cuts: list[int], factory: str = "Flat"
) -> tuple[list[Path], int]:
    """Search everything in blocks cut at some rows; also how many queries were audited."""
    _, queries = _block(vectors)
    audited = sample(queries, size=50, seed=0)
    paths = []
    for low, high in pairwise([0, *cuts, len(vectors)]):
        block, _ = _block(vectors[low:high], factory, first=10 + low)
        frames = blockwise(queries, block, SEARCH, complete=False, audited=audited)
        paths.append(folder / f"{factory}-{low}-{high}.parquet")
        schema.write(pl.concat(frames), paths[-1], PAIRS, made_by={})
    return paths, len(audited[0])


def test_merging_blocks_is_searching_everything(tmp_path: Path, clustered: np.ndarray) -> None:
    found = []
    for cuts in ([], [7, 150], [100, 101, 200]):
        paths, _ = _parts(tmp_path, clustered, cuts)
        found.append(pl.concat(merged(paths, count=SEARCH.neighbours)))
        kept = pl.concat(merged(paths, count=None))
        assert kept.height >= found[-1].height
    assert found[0].schema == pl.Schema(EDGES.columns)
    assert found[0].height > 300
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])


def test_recall_is_measured(tmp_path: Path, clustered: np.ndarray) -> None:
    options = {"count": SEARCH.neighbours, "threshold": SEARCH.threshold}
    exact, audited = _parts(tmp_path, clustered, [100])
    told = recall(exact, **options)
    assert told["link_audit"] == (250, 250)
    assert audited == 50
    hits, truth = told["link_audit_edges"]
    assert hits == truth > 100
    coarse, _ = _parts(tmp_path, clustered, [150], "IVF3,Flat")
    told = recall(coarse, **options)
    assert told["link_audit"][1] == 250
    assert told["link_audit_edges"][1] == truth
    assert told["link_audit"][0] < 250
    assert 0 < told["link_audit_edges"][0] < truth


def test_no_queries(clustered: np.ndarray) -> None:
    block, _ = _block(clustered)
    nothing = (np.empty(0, np.uint64), np.empty((0, 1), np.float16))
    assert pairs(nothing, block, SEARCH, complete=True).is_empty()
    assert audit(sample(nothing, size=5, seed=0), block, SEARCH).is_empty()
