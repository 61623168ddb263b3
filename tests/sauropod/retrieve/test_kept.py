"""retrieve.kept: a shard's rows of COPIES, and a kept image without an embedding."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.errors import InputError
from sauropod.retrieve import kept
from sauropod.retrieve.clusters import ClusterFiles, embeddings
from sauropod.retrieve.vectors import StoredVectors

SHARD = 1 << 32
VERDICTS = {0: True, 1: False, 2: True, SHARD: True, SHARD + 1: False, 2 * SHARD: True}


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    rows = [{"image_id": i, "kept": verdict} for i, verdict in VERDICTS.items()]
    frame = pl.DataFrame(rows, schema=dict(schema.COPIES.columns))
    schema.write(frame, tmp_path / "copies.parquet", schema.COPIES, made_by={})
    return tmp_path / "copies.parquet"


def _embeddings(path: Path, ids: list[int], **made_by: str) -> Path:
    columns = {"image_id": pl.Series(ids, dtype=pl.UInt64)}
    columns["embedding"] = schema.vector_column(np.eye(len(ids), 4))
    schema.write(pl.DataFrame(columns), path, schema.EMBEDDINGS, made_by=made_by)
    return path


def _ids(*ids: int) -> np.ndarray:
    return np.array(ids, np.uint64)


def test_of_these_shards_only(copies: Path) -> None:
    assert kept.ids_of(copies, _ids(1)).tolist() == [0, 2]
    assert kept.ids_of(copies, _ids(SHARD + 7, 0)).tolist() == [0, 2, SHARD]
    assert kept.ids_of(copies, _ids()).tolist() == []


def test_what_is_dropped_today_is_left_out(copies: Path, tmp_path: Path) -> None:
    path = _embeddings(tmp_path / "e", [0, 1, 2])
    ids, _ = StoredVectors([path], schema.EMBEDDINGS, copies=copies).load()
    assert ids.tolist() == [0, 2]
    chunks = [ids.tolist() for ids, _, _ in embeddings(path, copies=copies)]
    assert chunks == [[0, 2]]
    rows = [{"image_id": i, "cluster": 0, "content_key": i} for i in (0, 1, SHARD, SHARD + 1)]
    frame = pl.DataFrame(rows, schema=dict(schema.CLUSTERS.columns))
    schema.write(frame, tmp_path / "c", schema.CLUSTERS, made_by={})
    assert ClusterFiles([tmp_path / "c"], 1).sizes().tolist() == [4]
    assert ClusterFiles([tmp_path / "c"], 1, copies).sizes().tolist() == [2]


def test_an_image_that_came_back_is_one_sentence(copies: Path, tmp_path: Path) -> None:
    """It is kept, and was dropped when its shard was embedded."""
    path = _embeddings(tmp_path / "e", [1, 2])
    with pytest.raises(InputError, match="every image that is kept, found 1 without an embedding"):
        StoredVectors([path], schema.EMBEDDINGS, copies=copies).load()
    with pytest.raises(InputError, match="found 1 without an embedding"):
        list(embeddings(path, copies=copies))


def test_what_could_not_be_read_is_known(copies: Path, tmp_path: Path) -> None:
    asked, found = (pl.Series(ids, dtype=pl.UInt64) for ids in ([0, 2], [2]))
    told = kept.lacks(asked, found)
    assert told == {"lacks": "[0]"}
    path = _embeddings(tmp_path / "e", [2], **told)
    assert StoredVectors([path], schema.EMBEDDINGS, copies=copies).load()[0].tolist() == [2]
