"""Tables refuse what they are not; vectors and ids survive the round trip."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sauropod import schema
from sauropod.errors import InputError
from sauropod.io import stamp

MADE_BY = stamp("test", knobs={}, inputs=[])


def descriptors(rows: int, width: int = 4) -> pl.DataFrame:
    """Make a DESCRIPTORS table of a few rows."""
    values = np.arange(rows * width, dtype=np.float32).reshape(rows, width) / 8
    ids = pl.Series("image_id", schema.image_ids(7, rows))
    return pl.DataFrame({"image_id": ids}).with_columns(
        schema.vector_column(values).alias("descriptor")
    )


def test_image_ids_say_shard_and_row() -> None:
    ids = schema.image_ids(3, 2)
    assert ids.dtype == np.uint64
    assert ids.tolist() == [3 << 32, (3 << 32) | 1]


def test_vectors_round_trip(tmp_path: Path) -> None:
    frame = descriptors(3)
    schema.write(frame, tmp_path / "d.parquet", schema.DESCRIPTORS, made_by=MADE_BY)
    back = schema.read(tmp_path / "d.parquet", schema.DESCRIPTORS)
    assert_frame_equal(back, frame)
    values = schema.vectors(back, "descriptor")
    assert values.dtype == np.float16
    np.testing.assert_array_equal(values, np.arange(12, dtype=np.float16).reshape(3, 4) / 8)


def test_read_joins_files_in_order_and_passes_over_empty_ones(tmp_path: Path) -> None:
    sizes = {"a": 2, "b": 0, "c": 1}
    for name, rows in sizes.items():
        frame = descriptors(rows, width=4 if rows else 1)
        schema.write(frame, tmp_path / f"{name}.parquet", schema.DESCRIPTORS, made_by=MADE_BY)
    paths = [tmp_path / f"{name}.parquet" for name in sizes]
    assert schema.read(paths, schema.DESCRIPTORS).height == 3
    assert schema.read([], schema.DESCRIPTORS).height == 0


def test_metadata_carries_provenance_and_rows(tmp_path: Path) -> None:
    schema.write(descriptors(2), tmp_path / "d.parquet", schema.DESCRIPTORS, made_by=MADE_BY)
    metadata = pl.read_parquet_metadata(tmp_path / "d.parquet")
    assert metadata["stage"] == "test"
    assert metadata["table"] == "DESCRIPTORS"
    assert metadata["rows"] == "2"
    assert {"commit", "knobs", "inputs"} <= metadata.keys()


def test_wrong_table_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"image_id": [1], "extra": [2.0]}).write_parquet(path)
    with pytest.raises(InputError) as error:
        schema.check(path, schema.PCA_HASHES)
    assert str(error.value) == (
        f"{path}: expected a table PCA_HASHES, found missing pca_hash; unexpected extra; "
        "mistyped image_id Int64 instead of UInt64; "
        "give the file that the stage before wrote, or rerun that stage"
    )


@pytest.mark.parametrize("content", [None, b"", b"not a parquet file"])
def test_missing_and_foreign_files(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="expected a table EDGES"):
        schema.read(path, schema.EDGES)


def test_writing_a_wrong_frame_is_our_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="missing neighbour_id"):
        schema.write(pl.DataFrame({"image_id": [1]}), tmp_path / "e", schema.EDGES, made_by=MADE_BY)


def test_summary_adds_up() -> None:
    frame = schema.summary("screen", "crawl-00000", kept=5, dropped={"unsafe": 2, "truncated": 0})
    assert frame.select("reason", "rows").rows() == [("kept", 5), ("unsafe", 2)]


def test_every_key_is_a_column() -> None:
    for table in schema.TABLES:
        assert set(table.key) <= set(table.columns), table.name
