"""Rows of IMAGES that are usable, or have some ids, without loading every column."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from sauropod.errors import InputError

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


def usable(images: pl.LazyFrame) -> pl.DataFrame:
    """Rows of IMAGES with status ok, and the columns that curation needs."""
    return images.filter(pl.col("status") == "ok").select(COLUMNS).collect()


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
