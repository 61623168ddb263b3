"""Which images of the pool are kept today, a shard at a time.

A crawl that is appended makes COPIES anew and leaves EMBEDDINGS and CLUSTERS of the old shards as
they are: an old image may have become a copy, or hang together with a benchmark. What reads those
tables leaves out what today's COPIES drops. That an old image comes back is rare (a benchmark was
taken away; another image now stands for those that tied it to one) and is refused.
Shapes: n images of a shard, m of them kept.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import schema
from sauropod.dedup.pool import ROW_BITS
from sauropod.errors import InputError

LACKS = "lacks"
"""Metadata of EMBEDDINGS: ids (JSON) of the images that were to be embedded and could not be."""


def ids_of(copies: Path, ids: np.ndarray) -> np.ndarray:
    """Find what COPIES keeps of the shards of (n,) ids: (m,) uint64 ascending.

    Row groups of other shards are not read. Memory: 9 bytes an image from the first shard to the
    last.
    """
    if not len(ids):
        return np.empty(0, np.uint64)
    low, high = (int(i) >> ROW_BITS for i in (ids.min(), ids.max()))
    first, end = (pl.lit(shard << ROW_BITS, pl.UInt64) for shard in (low, high + 1))
    inside = (pl.col("image_id") >= first) & (pl.col("image_id") < end) & pl.col("kept")
    rows = schema.scan(copies, schema.COPIES).filter(inside).select("image_id").collect()
    return rows["image_id"].sort().to_numpy()


def rows_of(path: Path, ids: np.ndarray, *, copies: Path) -> np.ndarray:
    """Which rows of a shard's EMBEDDINGS are of images that are kept, (n,) bool.

    Args:
        path: The file.
        ids: (n,) uint64, all it has.
        copies: COPIES of the pool.

    Raises:
        InputError: a kept image has no embedding, though it could have one.
    """
    kept = ids_of(copies, ids)
    unreadable = json.loads(pl.read_parquet_metadata(path).get(LACKS, "[]"))
    absent = np.setdiff1d(kept, np.concatenate([ids, np.array(unreadable, np.uint64)]))
    if len(absent):
        expected, found = "every image that is kept", f"{len(absent)} without an embedding"
        fix = "remove it (all of the pool, when references were taken away) and run again"
        raise InputError(path, expected=expected, found=found, fix=fix)
    return np.isin(ids, kept)


def lacks(asked: pl.Series, found: pl.Series) -> dict[str, str]:
    """Metadata of a shard's EMBEDDINGS: which of the ids asked for it has no row of."""
    return {LACKS: json.dumps(asked.filter(~asked.is_in(found.implode())).to_list())}
