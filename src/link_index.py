"""Build the index of the pool's descriptors, hash duplicates left out.

    python src/link_index.py --descriptors results/describe/crawl-?????.parquet \\
        --duplicates results/hash/duplicates.parquet --out results/link/index.faiss
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Link
from sauropod.retrieve import index
from sauropod.retrieve.vectors import StoredVectors


def main(
    descriptors: tuple[Path, ...],
    duplicates: Path,
    out: Path,
    knobs: Knobs[Link],
) -> None:
    """Train the index on a sample and add every descriptor.

    Args:
        descriptors: DESCRIPTORS of every shard of the pool.
        duplicates: DUPLICATES of the pool.
        out: Faiss index to write.
    """
    for path in descriptors:
        schema.check(path, schema.DESCRIPTORS)
    without = schema.read(duplicates, schema.DUPLICATES)["image_id"].to_numpy()
    stored = StoredVectors(descriptors, schema.DESCRIPTORS, without)
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


if __name__ == "__main__":
    cli.run(main)
