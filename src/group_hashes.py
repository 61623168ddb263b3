"""Group the pool's images by PCA hash and keep one of each group.

    python src/group_hashes.py --hashes results/hash/crawl-block-?????.parquet \\
        --images results/screen/crawl-?????.parquet --out results/hash/duplicates.parquet \\
        --summary results/hash/summary.parquet
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema, streaming
from sauropod.cli import Knobs
from sauropod.config import Hash
from sauropod.dedup import groups, representatives
from sauropod.dedup.pool import every_shard
from sauropod.retrieve.places import usable


def main(
    hashes: tuple[Path, ...],
    images: tuple[Path, ...],
    out: Path,
    summary: Path,
    knobs: Knobs[Hash],
) -> None:
    """Find hash duplicates.

    Args:
        hashes: PCA_HASHES of every block of the pool.
        images: IMAGES of every shard of the pool.
        out: Table to write (DUPLICATES).
        summary: Table to write (SUMMARY).
    """
    for path in hashes:
        schema.check(path, schema.PCA_HASHES)
    for path in images:
        schema.check(path, schema.IMAGES)
    every_shard(hashes, images, flag="--hashes")
    rows = schema.scan(hashes, schema.PCA_HASHES).select(pl.len()).collect().item()
    chunks = (chunk for path in hashes for chunk in streaming.chunks(path, schema.PCA_HASHES))
    with io.scratch(out) as scratch:
        found = groups.duplicates(
            chunks,
            num_parts=1 if knobs.radius else 1 + rows // groups.PART_ROWS,
            radius=knobs.radius,
            images=usable(images, representatives.COLUMNS, label="images"),
            scratch=scratch,
        )
    made_by = io.stamp("hash", knobs=knobs, inputs=[*hashes, *images])
    dropped = {"hash_duplicate": found.height}
    counts = schema.summary("hash", "pool", kept=rows - found.height, dropped=dropped)
    schema.write(found, out, schema.DUPLICATES, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
