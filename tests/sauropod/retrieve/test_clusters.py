"""retrieve.clusters: bad embeddings are counted, files of other runs refused."""

import errno
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import io, schema
from sauropod.errors import InputError
from sauropod.retrieve import clusters
from sauropod.retrieve.vector_file import mapped

AXES = np.eye(3, 4, dtype=np.float32)


def _embeddings(path: Path, vectors: np.ndarray, ids: list[int] | None = None) -> Path:
    key = pl.Series("image_id", ids or range(len(vectors)), dtype=pl.UInt64)
    frame = pl.DataFrame({"image_id": key, "embedding": schema.vector_column(vectors)})
    schema.write(frame, path, schema.EMBEDDINGS, made_by={})
    return path


def _images(path: Path, count: int) -> Path:
    rows = [{"image_id": i, "sha256": f"{i:064x}", "status": "ok"} for i in range(count)]
    frame = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    schema.write(frame, path, schema.IMAGES, made_by={})
    return path


BAD = np.array([[np.nan, 0, 0, 0], [0, 0, 0, 0], [np.inf, 0, 0, 0], [2, 0, 0, 0]])


def test_bad_embeddings_are_counted_rows(tmp_path: Path) -> None:
    vectors = np.concatenate([BAD, AXES])
    paths = _embeddings(tmp_path / "e", vectors), _images(tmp_path / "i", 7)
    found, dropped = clusters.assigned(paths, AXES, origin=tmp_path)
    assert dropped == {"bad_embedding": 4}
    assert found["image_id"].to_list() == [4, 5, 6]
    assert found["cluster"].to_list() == [0, 1, 2]
    assert found["content_key"].to_list() == [0, 0, 0]
    out = tmp_path / "sample"
    counts = clusters.draw_sample([paths[0]], out, size=10, seed=0, metadata={})
    assert counts == (3, 4)
    assert mapped(out).shape == (3, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"e", "i", "sample"}


def test_no_good_embedding_is_one_sentence(tmp_path: Path) -> None:
    path = _embeddings(tmp_path / "e", BAD)
    for paths in ([path], []):
        with pytest.raises(InputError, match="--embeddings: expected embeddings of length 1"):
            clusters.draw_sample(paths, tmp_path / "s", size=10, seed=0, metadata={})
    assert [found.name for found in tmp_path.iterdir()] == ["e"]


def test_files_of_other_runs_are_refused(tmp_path: Path) -> None:
    wide, narrow = _embeddings(tmp_path / "w", np.eye(3, 8)), _embeddings(tmp_path / "n", AXES)
    images, twice = _images(tmp_path / "i", 2), _embeddings(tmp_path / "t", AXES[:2], [1, 1])
    with pytest.raises(InputError, match="expected vectors of 8 dimensions, found 4"):
        clusters.draw_sample([wide, narrow], tmp_path / "s", size=9, seed=0, metadata={})
    with pytest.raises(InputError, match="expected 8 dimensions, found 4"):
        clusters.assigned((wide, images), AXES, origin=tmp_path / "c")
    with pytest.raises(InputError, match="found 1 others"):
        clusters.assigned((narrow, images), AXES, origin=tmp_path / "c")
    with pytest.raises(InputError, match="every image once"):
        clusters.assigned((twice, images), AXES, origin=tmp_path / "c")


def _table(path: Path, rows: list[dict]) -> Path:
    frame = pl.DataFrame(rows, schema=dict(schema.CLUSTERS.columns))
    schema.write(frame, path, schema.CLUSTERS, made_by={})
    return path


def test_clusters_of_other_runs_are_refused(tmp_path: Path) -> None:
    rows = [{"image_id": i, "cluster": i, "content_key": i} for i in range(3)]
    path = _table(tmp_path / "c", rows)
    assert clusters.ClusterFiles([path], 4).sizes().tolist() == [1, 1, 1, 0]
    with pytest.raises(InputError, match="expected clusters below 2"):
        clusters.ClusterFiles([path], 2).sizes()
    twice = clusters.ClusterFiles([path, path], 3)
    with pytest.raises(InputError, match="--clusters: expected every image once, found 3 again"):
        clusters.draw(twice, np.full(3, 5), seed=0, purpose="x")


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    path = _embeddings(tmp_path / "e", np.eye(4, 4)[np.arange(2000) % 4])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="expected a table EMBEDDINGS"):
        list(clusters.embeddings(path))
    with pytest.raises(InputError, match="no such file"):
        list(clusters.embeddings(tmp_path / "missing"))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = _embeddings(tmp_path / "e", AXES)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with (
        pytest.raises(InputError, match="room on its disk, found no space left on device"),
        io.replacing(tmp_path / "sample") as out,
    ):
        clusters.draw_sample([path], out, size=10, seed=0, metadata={})
    assert [found.name for found in tmp_path.iterdir()] == ["e"]
