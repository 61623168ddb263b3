"""Rows of IMAGES that are usable, without loading every column."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from sauropod import streaming
from sauropod.progress import track
from sauropod.schema import IMAGES


def usable(paths: Sequence[Path], columns: Sequence[str], *, label: str) -> Iterator[pl.DataFrame]:
    """Yield the rows of status ok of IMAGES files in chunks, with some columns."""
    for path in track(paths, total=len(paths), label=label, unit="shards"):
        for rows in streaming.chunks(path, IMAGES, columns=[*columns, "status"]):
            yield rows.filter(pl.col("status") == "ok").select(columns)
