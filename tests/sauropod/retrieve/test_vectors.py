"""retrieve.vectors: shards in order, exclusions, empty and damaged files, broken vectors."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.errors import InputError
from sauropod.retrieve.vectors import StoredVectors


def _write(path: Path, ids: list[int], width: int) -> Path:
    values = np.array(ids)[:, None] * np.ones(width)
    column = schema.vector_column(values) if ids else pl.Series([], dtype=pl.Array(pl.Float16, 1))
    frame = pl.DataFrame({"image_id": pl.Series(ids, dtype=pl.UInt64), "embedding": column})
    schema.write(frame, path, schema.EMBEDDINGS, made_by={})
    return path


def test_shards_are_sorted_and_can_be_read_again(tmp_path: Path) -> None:
    paths = [_write(tmp_path / "a", [3, 1], 4), _write(tmp_path / "b", [], 4)]
    paths.append(_write(tmp_path / "c", [9, 7, 8], 4))
    stored = StoredVectors(paths, schema.EMBEDDINGS, np.array([8, 100], np.uint64))
    for _ in range(2):
        shards = list(stored)
        assert [ids.tolist() for ids, _ in shards] == [[1, 3], [7, 9]]
        assert all((vectors == ids[:, None]).all() for ids, vectors in shards)
    assert [len(vectors) for vectors in stored.arrays()] == [2, 2]


def test_other_width_is_one_sentence(tmp_path: Path) -> None:
    paths = [_write(tmp_path / "a", [1], 4), _write(tmp_path / "b", [2], 5)]
    with pytest.raises(InputError, match="vectors of 4 dimensions, found 5"):
        list(StoredVectors(paths, schema.EMBEDDINGS))


def _rows(path: Path, rows: list[list[float]]) -> Path:
    ids = pl.Series(range(len(rows)), dtype=pl.UInt64)
    frame = pl.DataFrame({"image_id": ids, "embedding": schema.vector_column(np.array(rows))})
    schema.write(frame, path, schema.EMBEDDINGS, made_by={})
    return path


def test_broken_vectors_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [[1, 0], [np.nan, 1], [0, 0], [np.inf, 0], [2, 0], [0.6, 0.8], [0.995, 0]]
    path = _rows(tmp_path / "a", rows)
    stored = StoredVectors([path], schema.EMBEDDINGS, np.array([2, 5], np.uint64), unit=True)
    ids, vectors = stored.load()
    assert ids.tolist() == [0, 6]
    assert vectors.shape == (2, 2)
    assert stored.dropped == {path: 3}  # of those not left out anyway


def test_loading_is_all_shards_at_once(tmp_path: Path) -> None:
    paths = [_write(tmp_path / "a", [3, 1], 4), _write(tmp_path / "b", [], 4)]
    paths.append(_write(tmp_path / "c", [9, 7, 8], 4))
    ids, vectors = StoredVectors(paths, schema.EMBEDDINGS).load()
    assert ids.tolist() == [1, 3, 7, 8, 9]
    assert (vectors == ids[:, None]).all()
    empty = StoredVectors(paths[1:2], schema.EMBEDDINGS).load()
    assert [part.shape[0] for part in empty] == [0, 0]


def test_files_unfit_to_load_are_one_sentence(tmp_path: Path) -> None:
    paths = [_write(tmp_path / "a", [3, 1], 4), _write(tmp_path / "b", [3, 5], 4)]
    with pytest.raises(InputError, match="image 3 twice or out of order"):
        StoredVectors(paths, schema.EMBEDDINGS).load()
    with pytest.raises(InputError, match="no such file"):
        StoredVectors([*paths, tmp_path / "c"], schema.EMBEDDINGS).load()
    data = bytearray(paths[0].read_bytes())
    data[4:60] = bytes(56)
    paths[0].write_bytes(data)
    with pytest.raises(InputError, match="found a damaged one"):
        StoredVectors(paths[:1], schema.EMBEDDINGS).load()


def test_some_files_hold_enough_rows(tmp_path: Path) -> None:
    paths = [_write(tmp_path / name, [10 * i, 10 * i + 1], 4) for i, name in enumerate("abcdef")]
    stored = StoredVectors(paths, schema.EMBEDDINGS, np.array([0], np.uint64))
    drawn = [stored.some(rows=5, seed=seed) for seed in range(20)]
    assert all(len(some.paths) == 3 and some.paths == sorted(some.paths) for some in drawn)
    assert {path for some in drawn for path in some.paths} == set(paths)
    assert stored.some(rows=5, seed=3).paths == drawn[3].paths
    assert stored.some(rows=100, seed=0).paths == paths
    assert drawn[0].without is stored.without
