"""Rows of IMAGES by image id, without loading the whole table."""

import numpy as np
import polars as pl

from sauropod.errors import InputError


def rows_of(images: pl.LazyFrame, ids: np.ndarray, columns: list[str] | None = None) -> pl.DataFrame:
    """Return the rows of some images, in the order of their ids as given.

    Args:
        images: IMAGES, lazily scanned.
        ids: (n,) uint64, distinct.
        columns: Columns beside `image_id`; None is all.

    Raises:
        InputError: an id has no row.
    """
    wanted = pl.DataFrame({"image_id": ids}, schema={"image_id": pl.UInt64})
    chosen = images if columns is None else images.select("image_id", *columns)
    rows = wanted.join(
        chosen.join(wanted.lazy(), on="image_id", how="semi").collect(),
        on="image_id",
        how="inner",
        maintain_order="left",
    )
    if rows.height != len(ids):
        raise InputError(
            "--images",
            expected="a row for every image asked for",
            found=f"{rows.height} of {len(ids)}",
            fix="give the IMAGES tables of all shards, from the same run",
        )
    return rows
