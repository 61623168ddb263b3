"""Keep one image per component of copies, and none that overlaps a reference.

    python src/dedup.py --edges results/link/*-?????.parquet \\
        --images results/screen/crawl-?????.parquet --duplicates results/hash/duplicates.parquet \\
        --out results/dedup/copies.parquet --summary results/dedup/summary.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Dedup
from sauropod.dedup import relative
from sauropod.dedup.edge_files import EdgeFiles
from sauropod.retrieve.places import usable


def main(
    edges: tuple[Path, ...],
    images: tuple[Path, ...],
    duplicates: Path,
    out: Path,
    summary: Path,
    knobs: Knobs[Dedup],
) -> None:
    """Decide on every image of the pool.

    Args:
        edges: EDGES of every shard, of the pool and of the references.
        images: IMAGES of every shard of the pool.
        duplicates: DUPLICATES of the pool.
        out: Table to write (COPIES).
        summary: Table to write (SUMMARY).
    """
    found = EdgeFiles(edges)
    same = schema.read(duplicates, schema.DUPLICATES)
    pool = usable(schema.scan(images, schema.IMAGES))
    rules = relative.Rules(
        copy_threshold=knobs.copy_threshold,
        overlap_threshold=knobs.overlap_threshold,
        overlap=knobs.overlap,
        max_component_share=knobs.max_component_share,
    )
    references = found.references(knobs.references)
    copies = relative.verdicts(pool, same, found, references, rules)
    made_by = io.stamp("dedup", knobs=knobs, inputs=[*edges, *images, duplicates])
    kept, dropped = relative.funnel(copies, same)
    counts = schema.summary("dedup", "pool", kept=kept, dropped=dropped)
    schema.write(copies, out, schema.COPIES, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
