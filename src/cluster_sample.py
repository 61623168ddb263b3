"""Draw the sample of the pool's embeddings that the centroids are fitted on.

    python src/cluster_sample.py --embeddings results/embed/crawl-?????.parquet \\
        --copies results/dedup/copies.parquet --out results/cluster/sample.safetensors \\
        --summary results/cluster/summary.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Cluster
from sauropod.retrieve import clusters


def main(
    embeddings: tuple[Path, ...],
    copies: Path,
    out: Path,
    summary: Path,
    knobs: Knobs[Cluster],
) -> None:
    """Read every embedding once and keep a seeded sample on disk.

    Args:
        embeddings: EMBEDDINGS to draw the sample from: of the pool's first source, so that what
            is appended later changes nothing.
        copies: COPIES of the pool: only kept images are drawn.
        out: Vectors to write (safetensors), 2 bytes a number; as much again and an eighth is
            scratch beside it.
        summary: Table to write (SUMMARY).
    """
    for path in embeddings:
        schema.check(path, schema.EMBEDDINGS)
    made_by = io.stamp("cluster", knobs=knobs, inputs=embeddings)
    with io.replacing(out) as temporary:
        good, bad = clusters.draw_sample(
            embeddings,
            temporary,
            size=knobs.sample,
            seed=knobs.seed,
            metadata=made_by,
            copies=copies,
        )
    counts = schema.summary("cluster_sample", "pool", kept=good, dropped={"bad_embedding": bad})
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
