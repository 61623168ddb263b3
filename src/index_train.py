"""Train the quantiser that the indexes of all embedding blocks share.

    python src/index_train.py --embeddings results/embed/crawl-?????.parquet \\
        --copies results/dedup/copies.parquet --out results/index/trained.faiss
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
    out: Path,
    knobs: Knobs[Index],
) -> None:
    """Train on a seeded sample of distinct embeddings.

    Args:
        embeddings: EMBEDDINGS to draw the sample from: of the pool's first source, so that what
            is appended later changes nothing.
        copies: COPIES of the pool: only kept images are drawn.
        out: Empty Faiss index to write.
    """
    for path in embeddings:
        schema.check(path, schema.EMBEDDINGS)
    stored = StoredVectors(embeddings, schema.EMBEDDINGS, copies=copies, unit=True)
    training = index.Training(
        sample=knobs.train_sample,
        list_iterations=knobs.list_iterations,
        code_iterations=knobs.code_iterations,
        rotation_iterations=knobs.rotation_iterations,
        seed=knobs.seed,
    )
    trained = index.fit(stored, factory=knobs.factory, training=training)
    with io.replacing(out) as temporary:
        index.save(trained, temporary)


if __name__ == "__main__":
    cli.run(main)
