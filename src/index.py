"""Build the index of the pool's embeddings.

    python src/index.py --embeddings results/embed/crawl-?????.parquet \\
        --out results/index/index.faiss --summary results/index/summary.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Index
from sauropod.retrieve import index
from sauropod.retrieve.vectors import StoredVectors


def main(
    embeddings: tuple[Path, ...],
    out: Path,
    summary: Path,
    knobs: Knobs[Index],
) -> None:
    """Train the index on a sample and add every embedding.

    Args:
        embeddings: EMBEDDINGS of every shard of the pool.
        out: Faiss index to write.
        summary: Table to write (SUMMARY).
    """
    for path in embeddings:
        schema.check(path, schema.EMBEDDINGS)
    stored = StoredVectors(embeddings, schema.EMBEDDINGS)
    training = index.Training(
        sample=knobs.train_sample,
        list_iterations=knobs.list_iterations,
        code_iterations=knobs.code_iterations,
        rotation_iterations=knobs.rotation_iterations,
        seed=knobs.seed,
    )
    built = index.build(stored, factory=knobs.factory, training=training)
    with io.replacing(out) as temporary:
        index.save(built, temporary)
    made_by = io.stamp("index", knobs=knobs, inputs=embeddings)
    counts = schema.summary("index", "pool", kept=built.ntotal, dropped={})
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
