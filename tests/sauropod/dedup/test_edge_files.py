"""dedup.edge_files: chunks in order, references by the collection in their id."""

from pathlib import Path

import polars as pl
import pytest

from sauropod import schema
from sauropod.dedup.edge_files import EdgeFiles
from sauropod.errors import InputError

CURATED, TEST, TRAIN = 1 << 60, 2 << 60, 3 << 60


def _write(path: Path, ids: list[int]) -> Path:
    rows = {"image_id": ids, "neighbour_id": [1] * len(ids), "similarity": [0.5] * len(ids)}
    frame = pl.DataFrame(rows, schema=dict(schema.EDGES.columns))
    schema.write(frame, path, schema.EDGES, made_by={})
    return path


def test_references_by_collection(tmp_path: Path) -> None:
    paths = [
        _write(tmp_path / "a", [5, 6]),
        _write(tmp_path / "b", [TEST + 7, TEST + 7, CURATED]),
        _write(tmp_path / "c", [TRAIN + 1]),
        _write(tmp_path / "d", []),
    ]
    files = EdgeFiles(paths)
    assert [chunk.height for chunk in files] == [2, 3, 1]
    assert files.references(["curated"]).tolist() == [CURATED]
    assert files.references(["benchmark_test", "benchmark_train"]).tolist() == [TEST + 7, TRAIN + 1]
    assert files.references([]).tolist() == []


def test_other_tables_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        EdgeFiles([tmp_path / "missing"])


@pytest.mark.parametrize("similarity", [float("nan"), 1.5, -2.0])
def test_what_is_no_cosine_is_refused(tmp_path: Path, similarity: float) -> None:
    rows = {"image_id": [1, 1], "neighbour_id": [2, 3], "similarity": [0.5, similarity]}
    frame = pl.DataFrame(rows, schema=dict(schema.EDGES.columns))
    schema.write(frame, tmp_path / "a", schema.EDGES, made_by={})
    with pytest.raises(InputError, match="cosines from -1 to 1"):
        list(EdgeFiles([tmp_path / "a"]))
