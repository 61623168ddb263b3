"""The near copies of every query, from what each block of the pool gave it (PAIRS to EDGES)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from sauropod import schema
from sauropod.dedup.pool import ROW_BITS
from sauropod.schema import EDGES, PAIRS

ORDER = ("image_id", "similarity", "neighbour_id")
FALLING = (False, True, False)


def merged(parts: Sequence[Path], *, count: int | None) -> Iterator[pl.DataFrame]:
    """Join what all blocks of the pool gave a block of queries, a shard of queries at a time.

    Args:
        parts: PAIRS files, each by query id.
        count: Neighbours kept of a query; None keeps all of them.

    Yields:
        EDGES rows by query id, falling similarity and neighbour id.
    """
    rows = schema.scan(parts, PAIRS).filter(pl.col("true").is_null())
    shards = rows.select((pl.col("image_id") // 2**ROW_BITS).unique()).collect().to_series().sort()
    for shard in shards.to_list():
        first = shard << ROW_BITS
        inside = pl.col("image_id").is_between(first, first + 2**ROW_BITS - 1)
        frame = rows.filter(inside).select(list(EDGES.columns)).collect()
        yield _first(frame, count)


def recall(parts: Sequence[Path], *, count: int, threshold: float) -> dict[str, tuple[int, int]]:
    """Count true neighbours found, and all true neighbours, of the audited queries.

    Returns:
        Of all `count` neighbours ("link_audit"), and of those above the threshold
        ("link_audit_edges"): found, and all.
    """
    rows = schema.scan(parts, PAIRS).filter(pl.col("true").is_not_null()).collect()
    truth = _first(rows.filter("true"), count)
    found = _first(rows.filter("found"), count)
    hits = truth.join(found, on=["image_id", "neighbour_id"], how="semi")
    near = pl.col("similarity") > threshold
    return {
        "link_audit": (hits.height, truth.height),
        "link_audit_edges": (hits.filter(near).height, truth.filter(near).height),
    }


def _first(pairs: pl.DataFrame, count: int | None) -> pl.DataFrame:
    ordered = pairs.sort(ORDER, descending=FALLING)
    if count is None:
        return ordered
    return ordered.filter(pl.int_range(pl.len()).over("image_id") < count)
