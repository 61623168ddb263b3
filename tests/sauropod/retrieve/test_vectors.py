"""retrieve.vectors: shards in order, exclusions, empty files, widths that differ."""

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
