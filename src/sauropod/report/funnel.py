"""The funnel: rows that came into each stage, went out, and were dropped, by reason."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

KEPT = "kept"
ORDER = (
    "records",
    "links",
    "ingest",
    "screen",
    "describe",
    "hash",
    "group_hashes",
    "link",
    "dedup",
    "embed",
    "retrieve",
    "manifest",
    "balance",
)


@dataclass(frozen=True)
class Step:
    """One stage of one group of shards: rows in = kept + the sum of dropped."""

    stage: str
    kept: int
    dropped: tuple[tuple[str, int], ...]

    @property
    def rows_in(self) -> int:
        """Rows that came in."""
        return self.kept + sum(rows for _, rows in self.dropped)


def source_of(shard: str) -> str:
    """Name of the source a shard belongs to: `crawl-00003` -> `crawl`."""
    name, _, number = shard.rpartition("-")
    return name if name and number.isdigit() else shard


def _place(stage: str) -> tuple[int, str]:
    return (ORDER.index(stage) if stage in ORDER else len(ORDER), stage)


def steps(summary: pl.DataFrame) -> list[Step]:
    """Add up SUMMARY rows by stage, in the pipeline's order; reasons by falling number of rows."""
    totals = summary.group_by("stage", "reason").agg(pl.col("rows").sum())
    found = []
    for stage in sorted(totals["stage"].unique().to_list(), key=_place):
        rows = dict(totals.filter(pl.col("stage") == stage).select("reason", "rows").rows())
        kept = int(rows.pop(KEPT, 0))
        dropped = sorted(rows.items(), key=lambda item: (-item[1], item[0]))
        found.append(Step(stage, kept, tuple(dropped)))
    return found


def by_group(summary: pl.DataFrame, *, pool: Sequence[str]) -> dict[str, list[Step]]:
    """Split the funnel into the pool's and, per other source, its own.

    Args:
        summary: SUMMARY rows of all stages and shards.
        pool: Names of the pool's sources; empty takes everything as the pool. A shard called
            `pool` or `all` is the pool's too.

    Returns:
        "pool" first, then sources by name.
    """
    if not pool:
        return {"pool": steps(summary)} if summary.height else {}
    names = [source_of(shard) for shard in summary["shard"].to_list()]
    groups = ["pool" if name in {*pool, "pool", "all"} else name for name in names]
    marked = summary.with_columns(pl.Series("group", groups, dtype=pl.String))
    order = sorted(set(groups), key=lambda group: (group != "pool", group))
    return {group: steps(marked.filter(pl.col("group") == group)) for group in order}
