"""Add up the summaries of many shards: one row per stage and reason.

    python src/summarise.py --summaries results/links/crawl-{00000..01999}.summary.parquet \\
        --shard crawl --out results/links/crawl.summary.parquet
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema


def main(summaries: tuple[Path, ...], shard: str, out: Path) -> None:
    """Add up.

    Args:
        summaries: Tables to add up (SUMMARY).
        shard: What the sum is called in the column `shard`.
        out: Table to write (SUMMARY).
    """
    rows = schema.read(summaries, schema.SUMMARY)
    total = rows.group_by("stage", "reason", maintain_order=True).agg(pl.col("rows").sum())
    made_by = io.stamp("summarise", knobs={}, inputs=summaries)
    frame = total.with_columns(pl.lit(shard).alias("shard"))
    schema.write(frame, out, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
