"""scatter: every row comes back once, in its part, in the order it was given."""

from pathlib import Path

import numpy as np
import polars as pl

from sauropod.scatter import Parts

KINDS = {"a": pl.UInt64(), "b": pl.String(), "c": pl.Enum(("x", "y"))}


def test_rows_come_back_part_by_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts, expected = Parts(tmp_path, 5), []
    for start in range(0, 300, 60):
        ids = np.arange(start, start + 60)
        rows = {"a": ids, "b": [None if i % 7 == 0 else str(i) for i in ids], "c": ["x"] * 60}
        part = rng.choice([0, 1, 4], 60)
        parts.add(pl.DataFrame(rows, schema=KINDS), part)
        expected.append(pl.DataFrame(rows, schema=KINDS).with_columns(part=pl.Series(part)))
    whole = pl.concat(expected)
    assert parts.read(3) is None
    found = [frame.cast(KINDS) for frame in parts]  # type: ignore[arg-type]
    assert len(found) == 3
    for frame, number in zip(found, (0, 1, 4), strict=True):
        assert frame.equals(whole.filter(pl.col("part") == number).drop("part"))
    assert list(tmp_path.iterdir()) == []


def test_no_rows(tmp_path: Path) -> None:
    parts = Parts(tmp_path, 2)
    parts.add(pl.DataFrame({"a": []}, schema={"a": pl.UInt64()}), np.empty(0, np.int64))
    assert list(parts) == []
