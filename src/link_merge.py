"""Merge what all blocks of the pool gave a block of queries.

    python src/link_merge.py --parts results/link/parts/crawl-block-00001/*.parquet \\
        --duplicates results/hash/duplicates.parquet --block crawl-block-00001 \\
        --out results/link/crawl-block-00001.parquet \\
        --summary results/link/crawl-block-00001.summary.parquet
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema, streaming
from sauropod.cli import Knobs
from sauropod.config import Link
from sauropod.dedup import edges
from sauropod.dedup import parts as searched
from sauropod.dedup.pool import SHARDS


def main(
    parts: tuple[Path, ...],
    duplicates: Path,
    block: str,
    out: Path,
    summary: Path,
    knobs: Knobs[Link],
    reference: bool = False,
) -> None:
    """Keep every query's nearest neighbours over all blocks, and count what the audit found.

    Args:
        parts: PAIRS by link.py, one of every block of the pool.
        duplicates: DUPLICATES of the pool, as they are now.
        block: Name of the block of queries, for the summary.
        out: Table to write (EDGES): image_id is the query, neighbour_id an image of the pool.
        summary: Table to write (SUMMARY), with the recall beside exact search of all neighbours
            (`link_audit`) and of those above the threshold (`link_audit_edges`).
        reference: The queries are references: all their edges are kept.
    """
    without = schema.read(duplicates, schema.DUPLICATES)["image_id"].sort().to_numpy()
    made_by = io.stamp("link", knobs=knobs, inputs=[*parts, duplicates])
    told = searched.check(parts, duplicates=without, knobs=made_by["knobs"])
    dropped = {"bad_descriptor": int(told["num_bad"])}
    counts = [schema.summary("link", block, kept=int(told["num_queries"]), dropped=dropped)]
    recalled = edges.recall(parts, count=knobs.neighbours, threshold=knobs.threshold)
    for stage, (hits, truth) in recalled.items():
        counts.append(schema.summary(stage, block, kept=hits, dropped={"missed": truth - hits}))
    merged = edges.merged(parts, count=None if reference else knobs.neighbours)
    made_by[SHARDS] = told[SHARDS]
    streaming.write(merged, out, schema.EDGES, made_by=made_by)
    schema.write(pl.concat(counts), summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
