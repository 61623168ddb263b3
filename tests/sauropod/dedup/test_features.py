"""dedup.features: the kind decides the table."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.dedup.features import Features
from sauropod.errors import InputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    vectors = schema.vector_column(np.array([[0.6, 0.8], [1, 0]]))
    frame = pl.DataFrame({"image_id": pl.Series([2, 1], dtype=pl.UInt64), "descriptor": vectors})
    schema.write(frame, tmp_path / "a.parquet", schema.DESCRIPTORS, made_by={})
    return tmp_path / "a.parquet"


def test_descriptors_by_id(path: Path) -> None:
    ids, features, dropped = Features([path], "descriptor").shard(path)
    assert ids.tolist() == [1, 2]
    assert features[:, 0].tolist() == [1, np.float16(0.6)]
    assert dropped == {}
    assert [len(part) for part in Features([path, path], "descriptor").arrays()] == [2, 2]


def test_pixels_need_images(path: Path) -> None:
    with pytest.raises(InputError, match="a table IMAGES"):
        Features([path], "pixels")
    with pytest.raises(InputError, match="name them with --images"):
        Features([], "pixels")


def test_bad_descriptors_are_counted(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    rows = np.array([[1, 0], [nan, 1], [0, 0], [inf, 0], [0.6, 0.8], [2, 0], [6e4, 6e4]])
    ids = pl.Series(range(7), dtype=pl.UInt64)
    frame = pl.DataFrame({"image_id": ids, "descriptor": schema.vector_column(rows)})
    schema.write(frame, tmp_path / "a", schema.DESCRIPTORS, made_by={})
    found, features, dropped = Features([tmp_path / "a"], "descriptor").shard(tmp_path / "a")
    assert found.tolist() == [0, 4]
    assert len(features) == 2
    assert dropped == {"bad_descriptor": 5}


def test_an_image_with_two_rows(tmp_path: Path) -> None:
    ids = pl.Series([3, 3], dtype=pl.UInt64)
    frame = pl.DataFrame({"image_id": ids, "descriptor": schema.vector_column(np.eye(2))})
    schema.write(frame, tmp_path / "a", schema.DESCRIPTORS, made_by={})
    with pytest.raises(InputError, match="every image once"):
        Features([tmp_path / "a"], "descriptor").shard(tmp_path / "a")


def test_a_truncated_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="expected a table DESCRIPTORS, found no Parquet"):
        Features([path], "descriptor")
