"""Keep one image per component of copies, and none that overlaps a reference.

    python src/dedup.py --edges results/link/*-?????.parquet \\
        --images results/screen/crawl-?????.parquet --duplicates results/hash/duplicates.parquet \\
        --out results/dedup/copies.parquet --summary results/dedup/summary.parquet \\
        --components logs/dedup/components.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema, streaming
from sauropod.cli import Knobs
from sauropod.config import Dedup
from sauropod.dedup import relative, representatives
from sauropod.dedup.edge_files import EdgeFiles
from sauropod.dedup.pool import Pool, every_shard
from sauropod.dedup.size_guard import SizeGuard
from sauropod.retrieve.places import usable


def main(
    edges: tuple[Path, ...],
    images: tuple[Path, ...],
    duplicates: Path,
    out: Path,
    summary: Path,
    components: Path,
    knobs: Knobs[Dedup],
) -> None:
    """Decide on every image of the pool.

    Args:
        edges: EDGES of every block, of the pool and of the references.
        images: IMAGES of every shard of the pool.
        duplicates: DUPLICATES of the pool.
        out: Table to write (COPIES).
        summary: Table to write (SUMMARY).
        components: Table to write (COMPONENTS), also when a giant component stops the job.
    """
    found = EdgeFiles(edges)
    every_shard(edges, images, flag="--edges")
    same = schema.read(duplicates, schema.DUPLICATES)
    made_by = io.stamp("dedup", knobs=knobs, inputs=[*edges, *images, duplicates])
    rows = usable(images, representatives.COLUMNS, label="images")
    with io.scratch(out) as scratch:
        verdicts = relative.verdicts(
            Pool.read(images),
            same,
            found,
            found.references(knobs.references),
            relative.Rules(
                copy_threshold=knobs.copy_threshold,
                overlap_threshold=knobs.overlap_threshold,
                overlap=knobs.overlap,
            ),
            images=representatives.Representatives(images=rows, scratch=scratch / "members"),
            guard=SizeGuard(components, max_share=knobs.max_component_share, made_by=made_by),
        )
    kept, dropped = verdicts.funnel()
    counts = schema.summary("dedup", "pool", kept=kept, dropped=dropped)
    streaming.write(verdicts.frames(), out, schema.COPIES, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
