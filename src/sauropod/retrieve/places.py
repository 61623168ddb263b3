"""Rows of IMAGES that are usable, or have some ids, without loading every column."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import streaming
from sauropod.errors import InputError
from sauropod.progress import track
from sauropod.schema import IMAGES

COLUMNS = (
    "image_id",
    "source",
    "url",
    "width",
    "height",
    "num_bytes",
    "sha256",
    "tar",
    "offset",
)


def usable(paths: Sequence[Path], columns: Sequence[str], *, label: str) -> Iterator[pl.DataFrame]:
    """Yield the rows of status ok of IMAGES files in chunks, with some columns."""
    for path in track(paths, total=len(paths), label=label, unit="shards"):
        for rows in streaming.chunks(path, IMAGES, columns=[*columns, "status"]):
            yield rows.filter(pl.col("status") == "ok").select(columns)


def rows_of(
    images: pl.LazyFrame, ids: np.ndarray, columns: Sequence[str] = COLUMNS[1:]
) -> pl.DataFrame:
    """Return the rows of some images, in the order of their ids as given.

    Args:
        images: IMAGES, lazily scanned.
        ids: (n,) uint64, distinct.
        columns: Columns beside `image_id`.

    Raises:
        InputError: an id has no row.
    """
    wanted = pl.DataFrame({"image_id": ids}, schema={"image_id": pl.UInt64})
    chosen = images.select("image_id", *columns)
    rows = wanted.join(
        chosen.join(wanted.lazy(), on="image_id", how="semi").collect(),
        on="image_id",
        how="inner",
        maintain_order="left",
    )
    if rows.height != len(ids):
        where = "--images"
        raise InputError(
            where,
            expected="a row for every image asked for",
            found=f"{rows.height} of {len(ids)}",
            fix="give the IMAGES tables of all shards, from the same run",
        )
    return rows
