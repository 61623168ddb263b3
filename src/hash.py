"""Hash a block of the pool's shards: the signs of 64 principal components.

    python src/hash.py --descriptors results/describe/crawl-{00000..00019}.parquet \\
        --pca results/hash/pca.safetensors --block crawl-block-00000 \\
        --out results/hash/crawl-block-00000.parquet \\
        --summary results/hash/crawl-block-00000.summary.parquet
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from sauropod import cli, io, schema, streaming
from sauropod.cli import Knobs
from sauropod.config import Hash
from sauropod.dedup import pca_hash
from sauropod.dedup.features import Features
from sauropod.dedup.pool import SHARDS, names_of
from sauropod.progress import track


def main(
    pca: Path,
    block: str,
    out: Path,
    summary: Path,
    knobs: Knobs[Hash],
    descriptors: tuple[Path, ...] = (),
    images: tuple[Path, ...] = (),
) -> None:
    """Hash the images of every shard, one shard at a time.

    Args:
        pca: Artefact of fit_hash.py.
        block: Name of the block, for the summary.
        out: Table to write (PCA_HASHES).
        summary: Table to write (SUMMARY).
        descriptors: DESCRIPTORS of the block's shards, for `--features descriptor`.
        images: Their IMAGES, for `--features pixels`; their tars are read.
    """
    paths = images if knobs.features == "pixels" else descriptors
    features = Features(paths, knobs.features)
    projection = pca_hash.load(pca)
    counted: Counter[str] = Counter(kept=0)

    def frames() -> Iterator[pl.DataFrame]:
        for path in track(paths, total=len(paths), label="hash", unit="shards"):
            ids, values, dropped = features.shard(path)
            hashes = pca_hash.project(values, projection, origin=pca)
            counted.update(kept=len(ids), **dropped)
            columns = dict(schema.PCA_HASHES.columns)
            yield pl.DataFrame({"image_id": ids, "pca_hash": hashes}, schema=columns)

    made_by = io.stamp("hash", knobs=knobs, inputs=[*paths, pca])
    streaming.write(frames(), out, schema.PCA_HASHES, made_by={**made_by, SHARDS: names_of(paths)})
    counts = schema.summary("hash", block, kept=counted.pop("kept"), dropped=counted)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
