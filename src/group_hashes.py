"""Group the pool's images by PCA hash and keep one of each group.

    python src/group_hashes.py --hashes results/hash/crawl-?????.parquet \\
        --images results/screen/crawl-?????.parquet --out results/hash/duplicates.parquet \\
        --summary results/hash/summary.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Hash
from sauropod.dedup import groups
from sauropod.retrieve.places import rows_of


def main(
    hashes: tuple[Path, ...],
    images: tuple[Path, ...],
    out: Path,
    summary: Path,
    knobs: Knobs[Hash],
) -> None:
    """Find hash duplicates.

    Args:
        hashes: PCA_HASHES of every shard of the pool.
        images: IMAGES of every shard of the pool.
        out: Table to write (DUPLICATES).
        summary: Table to write (SUMMARY).
    """
    scan = schema.scan(images, schema.IMAGES)
    every = schema.read(hashes, schema.PCA_HASHES)
    found = groups.duplicates(every, radius=knobs.radius, images=lambda ids: rows_of(scan, ids))
    made_by = io.stamp("hash", knobs=knobs, inputs=[*hashes, *images])
    kept = every.height - found.height
    counts = schema.summary("hash", "pool", kept=kept, dropped={"hash_duplicate": found.height})
    schema.write(found, out, schema.DUPLICATES, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
