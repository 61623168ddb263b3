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
    vectors = schema.vector_column(np.array([[2.0, 0], [1, 0]]))
    frame = pl.DataFrame({"image_id": pl.Series([2, 1], dtype=pl.UInt64), "descriptor": vectors})
    schema.write(frame, tmp_path / "a.parquet", schema.DESCRIPTORS, made_by={})
    return tmp_path / "a.parquet"


def test_descriptors_by_id(path: Path) -> None:
    ids, features, dropped = Features([path], "descriptor").shard(path)
    assert ids.tolist() == [1, 2]
    assert features[:, 0].tolist() == [1, 2]
    assert dropped == {}
    assert [len(part) for part in Features([path, path], "descriptor").arrays()] == [2, 2]


def test_pixels_need_images(path: Path) -> None:
    with pytest.raises(InputError, match="a table IMAGES"):
        Features([path], "pixels")
    with pytest.raises(InputError, match="name them with --images"):
        Features([], "pixels")
