"""Train the quantiser that the indexes of all descriptor blocks share.

    python src/link_train.py --descriptors results/describe/crawl-?????.parquet \\
        --out results/link/trained.faiss
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Link
from sauropod.retrieve import index
from sauropod.retrieve.vectors import StoredVectors


def main(
    descriptors: tuple[Path, ...],
    out: Path,
    knobs: Knobs[Link],
) -> None:
    """Train on a seeded sample of distinct descriptors.

    Args:
        descriptors: DESCRIPTORS to draw the sample from: of the pool's first source, so that what
            is appended later changes nothing.
        out: Empty Faiss index to write.
    """
    for path in descriptors:
        schema.check(path, schema.DESCRIPTORS)
    stored = StoredVectors(descriptors, schema.DESCRIPTORS, unit=True)
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
