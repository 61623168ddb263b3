"""retrieve.search: codes nominate, stored vectors decide; more blocks never find less."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sauropod import io, schema
from sauropod.errors import InputError
from sauropod.retrieve import exact, index, search
from sauropod.retrieve.vectors import StoredVectors

QUICK = index.Training(list_iterations=4, code_iterations=4, rotation_iterations=4)
EFFORT = {"num_probes": 4, "count": 10, "over_fetch": 4}


@pytest.fixture(scope="module")
def points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((80, 32))
    vectors = centres[np.arange(1600) % 80] + 0.5 * rng.standard_normal((1600, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.arange(10, 1610, dtype=np.uint64), vectors.astype(np.float16)


def make(
    folder: Path, points: tuple[np.ndarray, np.ndarray], factory: str, *, blocks: int = 1
) -> list[search.Block]:
    """Blocks on disk, under one trained index."""
    ids, vectors = points
    trained = index.train(vectors, factory=factory, training=QUICK)
    index.save(trained, folder / "trained.faiss")
    made = []
    for i, part in enumerate(np.array_split(np.arange(len(ids)), blocks)):
        stored = store(folder / f"{i}.parquet", ids[part], vectors[part])
        built = index.load(folder / "trained.faiss")
        index.fill(built, stored)
        with io.replacing(folder / f"{i}.faiss") as temporary:
            index.save(built, temporary)
        made.append(search.open_block(folder / f"{i}.faiss", stored, **EFFORT))
    return made


def store(path: Path, ids: np.ndarray, vectors: np.ndarray) -> StoredVectors:
    frame = pl.DataFrame({"image_id": ids, "embedding": schema.vector_column(vectors)})
    schema.write(frame, path, schema.EMBEDDINGS, made_by={})
    return StoredVectors([path], schema.EMBEDDINGS, unit=True)


def found_in(
    blocks: list[search.Block], queries: tuple[np.ndarray, np.ndarray], *, count: int
) -> exact.Neighbours:
    found = exact.nothing(len(queries[0]))
    for block in blocks:
        mine = search.neighbours(block, queries, count=count, over_fetch=8)
        found = exact.joined(found, mine, count=count)
    return found


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat", "OPQ8_16,IVF8_HNSW8,PQ8x4fs"])
def test_recall_never_falls_with_blocks(
    factory: str, points: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """One quantiser: the same lists are visited, and each block proposes as many as one would."""
    queries = points[0][:200], points[1][:200]
    truth, cosines = exact.exact_nearest(queries[1], points, count=4, but=queries[0])
    hits = []
    for blocks in (1, 3, 7):
        folder = tmp_path / str(blocks)
        folder.mkdir()
        found, best = found_in(make(folder, points, factory, blocks=blocks), queries, count=4)
        hits.append(exact.recall(found, truth)[0])
        # Whatever the codes say, the similarity is the exact cosine of the pair.
        row = exact.similarities(queries[1], np.where(found < 0, -1, found - 10), points[1])
        np.testing.assert_array_equal(best, row)
    assert hits == sorted(hits)
    assert hits[0] > 700
    if factory == "Flat":
        assert hits == [800] * 3
        np.testing.assert_array_equal(best, cosines)


def test_rows_of_two_shards() -> None:
    ids = np.array([(2 << 32) + 1, (2 << 32) + 3, 7 << 32], np.uint64)
    asked = np.array([[7 << 32, (2 << 32) + 3, -1], [(2 << 32) + 2, (7 << 32) + 1, 3 << 32]])
    assert search.Rows(ids)(asked).tolist() == [[2, 1, -1], [-1, -1, -1]]


@given(st.data())
def test_rows_are_a_binary_search(data: st.DataObject) -> None:
    some = st.tuples(st.integers(0, 9), st.integers(0, 9))
    numbers = some.map(lambda of: (of[0] << 32) | of[1])
    ids = np.array(sorted(data.draw(st.sets(numbers, min_size=1))), np.uint64)
    asked = np.array(data.draw(st.lists(numbers | st.just(-1))), np.int64)
    at = np.searchsorted(ids.view(np.int64), asked)
    known = [place if number in ids else -1 for place, number in zip(at, asked, strict=True)]
    assert search.Rows(ids)(asked).tolist() == known


def test_a_query_may_find_itself(points: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    (block,) = make(tmp_path, points, "IVF8,Flat")
    queries = points[0][:9], points[1][:9]
    found, best = search.neighbours(block, queries, count=2, over_fetch=4, itself=True)
    assert found[:, 0].tolist() == queries[0].tolist()
    assert best[:, 0].tolist() == pytest.approx([1.0] * 9)
    truth, _ = search.true_neighbours(block, queries, count=2)
    assert (truth[:, 0] != queries[0].astype(np.int64)).all()


def test_more_neighbours_than_there_are(
    points: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    few = points[0][:5], points[1][:5]
    (block,) = make(tmp_path, few, "Flat")
    found, _ = search.neighbours(block, few, count=64, over_fetch=4)
    assert (found >= 0).sum() == 5 * 4


def test_user_mistakes_are_one_sentence(
    points: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    ids, vectors = points
    (block,) = make(tmp_path, points, "IVF8,Flat")
    with pytest.raises(InputError, match="5 dimensions as the queries have, found 32"):
        search.neighbours(block, (ids[:2], vectors[:2, :5]), count=2, over_fetch=1)
    other = store(tmp_path / "other.parquet", ids[:9], vectors[:9])
    with pytest.raises(InputError, match="of the given vector files, found 1600 images where"):
        search.open_block(block.origin, other, **EFFORT)
    moved = store(tmp_path / "moved.parquet", ids + np.uint64(5000), vectors)
    stale = search.open_block(block.origin, moved, **EFFORT)
    with pytest.raises(InputError, match="candidates with no stored vector; remove it"):
        search.neighbours(stale, (ids[:2], vectors[:2]), count=2, over_fetch=1)
