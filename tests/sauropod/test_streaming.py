"""streaming: a table written in frames is the table, and is read back in chunks."""

from pathlib import Path

import polars as pl
import pytest

from sauropod import schema, streaming
from sauropod.errors import InputError
from sauropod.schema import COPIES


def _copies(count: int) -> pl.DataFrame:
    rows = {
        "image_id": range(count),
        "component": [0] * count,
        "kept": [i % 2 == 0 for i in range(count)],
        "reason": [schema.REASONS[i % 4] for i in range(count)],
        "evidence_id": [None if i % 2 else i for i in range(count)],
        "similarity": [0.5] * count,
    }
    return pl.DataFrame(rows, schema=dict(COPIES.columns))


def test_frames_and_chunks(tmp_path: Path) -> None:
    path, frame = tmp_path / "a.parquet", _copies(10)
    streaming.write(frame.iter_slices(4), path, COPIES, made_by={"stage": "dedup"})
    assert schema.read(path, COPIES).equals(frame)
    found = pl.read_parquet_metadata(path)
    assert (found["stage"], found["table"], found["rows"]) == ("dedup", "COPIES", "10")
    chunks = list(streaming.chunks(path, COPIES, rows=3))
    assert max(chunk.height for chunk in chunks) == 3
    assert pl.concat(chunks).equals(frame)


def test_no_frames(tmp_path: Path) -> None:
    streaming.write([], tmp_path / "a", COPIES, made_by={})
    assert schema.read(tmp_path / "a", COPIES).height == 0
    assert list(streaming.chunks(tmp_path / "a", COPIES)) == []


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    def frames():  # noqa: ANN202
        yield _copies(3)
        raise OSError("No space left on device")

    with pytest.raises(InputError, match="room on its disk"):
        streaming.write(frames(), tmp_path / "a", COPIES, made_by={})
    assert list(tmp_path.iterdir()) == []


def test_a_file_damaged_inside_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    schema.write(_copies(5000), path, COPIES, made_by={})
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.parquet.*whole Parquet file"):
        list(streaming.chunks(path, COPIES))
