"""Hash a shard of the pool: the signs of 64 principal components.

    python src/hash.py --descriptors results/describe/crawl-00000.parquet \\
        --pca results/hash/pca.safetensors --shard crawl-00000 \\
        --out results/hash/crawl-00000.parquet \\
        --summary results/hash/crawl-00000.summary.parquet
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Hash
from sauropod.dedup import pca_hash
from sauropod.dedup.features import Features


def main(
    pca: Path,
    shard: str,
    out: Path,
    summary: Path,
    knobs: Knobs[Hash],
    descriptors: tuple[Path, ...] = (),
    images: tuple[Path, ...] = (),
) -> None:
    """Hash one shard.

    Args:
        pca: Artefact of fit_hash.py.
        shard: Name of the shard, for the summary.
        out: Table to write (PCA_HASHES).
        summary: Table to write (SUMMARY).
        descriptors: The shard's DESCRIPTORS, for `--features descriptor`.
        images: The shard's IMAGES, for `--features pixels`; its tar is read.
    """
    paths = images if knobs.features == "pixels" else descriptors
    features = Features(paths[:1], knobs.features)
    projection = pca_hash.load(pca)
    ids, values, dropped = features.shard(paths[0])
    hashes = pca_hash.project(values, projection, origin=pca)
    columns = dict(schema.PCA_HASHES.columns)
    frame = pl.DataFrame({"image_id": ids, "pca_hash": hashes}, schema=columns)
    made_by = io.stamp("hash", knobs=knobs, inputs=[*paths, pca])
    counts = schema.summary("hash", shard, kept=frame.height, dropped=dropped)
    schema.write(frame, out, schema.PCA_HASHES, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
