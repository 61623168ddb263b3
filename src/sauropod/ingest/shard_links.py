"""A shard's share of all link files: a range of url_key, each URL once."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sauropod import schema
from sauropod.ingest.links import unique
from sauropod.ingest.sources import check_part

KEYS = 2**64


def share(files: Sequence[Path], *, part: int, num_parts: int) -> tuple[pl.DataFrame, int]:
    """Read the links whose url_key lies in the part-th of num_parts equal ranges.

    Link files are sorted by url_key, so that only matching row groups are read.

    Returns:
        LINKS rows sorted by url_key, and how many duplicates of them were left out.
    """
    check_part(part, num_parts=num_parts)
    first = part * KEYS // num_parts
    last = (part + 1) * KEYS // num_parts - 1
    wanted = pl.col("url_key").is_between(
        pl.lit(first, dtype=pl.UInt64), pl.lit(last, dtype=pl.UInt64)
    )
    found = schema.scan(list(files), schema.LINKS).filter(wanted).collect()
    once = unique(found)
    return once, found.height - once.height
