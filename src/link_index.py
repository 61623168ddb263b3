"""Build the index of a block of the pool's descriptors, hash duplicates left out.

    python src/link_index.py --descriptors results/describe/crawl-{00000..00063}.parquet \\
        --duplicates results/hash/duplicates.parquet --trained results/link/trained.faiss \\
        --out results/link/index/crawl-block-00000.faiss
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.retrieve import index
from sauropod.retrieve.vectors import StoredVectors


def main(
    descriptors: tuple[Path, ...],
    duplicates: Path,
    trained: Path,
    out: Path,
) -> None:
    """Add the block's codes to the trained index.

    Args:
        descriptors: DESCRIPTORS of the block's shards.
        duplicates: DUPLICATES of the pool.
        trained: Empty index, by link_train.py.
        out: Faiss index to write.
    """
    for path in descriptors:
        schema.check(path, schema.DESCRIPTORS)
    without = schema.read(duplicates, schema.DUPLICATES)["image_id"].sort().to_numpy()
    built = index.load(trained)
    index.fill(built, StoredVectors(descriptors, schema.DESCRIPTORS, without, unit=True))
    with io.replacing(out) as temporary:
        index.save(built, temporary)


if __name__ == "__main__":
    cli.run(main)
