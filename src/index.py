"""Build the index of a block of the pool's embeddings.

    python src/index.py --embeddings results/embed/crawl-{00000..00063}.parquet \\
        --copies results/dedup/copies.parquet --trained results/index/trained.faiss \\
        --block crawl-block-00000 --out results/index/crawl-block-00000.faiss \\
        --summary results/index/crawl-block-00000.summary.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Index
from sauropod.retrieve import index
from sauropod.retrieve.vectors import StoredVectors


def main(
    embeddings: tuple[Path, ...],
    copies: Path,
    trained: Path,
    block: str,
    out: Path,
    summary: Path,
    knobs: Knobs[Index],
) -> None:
    """Add the block's codes to the trained index.

    Args:
        embeddings: EMBEDDINGS of the block's shards.
        copies: COPIES of the pool: only kept images are indexed.
        trained: Empty index, by index_train.py.
        block: Name of the block, for the summary.
        out: Faiss index to write.
        summary: Table to write (SUMMARY).
    """
    for path in embeddings:
        schema.check(path, schema.EMBEDDINGS)
    stored = StoredVectors(embeddings, schema.EMBEDDINGS, copies=copies, unit=True)
    built = index.load(trained)
    kept = index.fill(built, stored)
    with io.replacing(out) as temporary:
        index.save(built, temporary)
    made_by = io.stamp("index", knobs=knobs, inputs=[*embeddings, copies, trained])
    dropped = {"bad_embedding": sum(stored.dropped.values())}
    counts = schema.summary("index", block, kept=kept, dropped=dropped)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
