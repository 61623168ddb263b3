"""Assign a block of the pool's shards to their nearest centroids.

    python src/assign.py --embeddings results/embed/crawl-{00000..00015}.parquet \\
        --images results/screen/crawl-{00000..00015}.parquet --block crawl-block-00000 \\
        --centroids results/cluster/centroids.safetensors \\
        --out results/cluster/crawl-block-00000.parquet \\
        --summary results/cluster/crawl-block-00000.summary.parquet
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from sauropod import cli, io, schema, streaming
from sauropod.cli import Knobs
from sauropod.config import Cluster
from sauropod.progress import track
from sauropod.retrieve import clusters, kmeans


def main(
    embeddings: tuple[Path, ...],
    images: tuple[Path, ...],
    block: str,
    centroids: Path,
    out: Path,
    summary: Path,
    knobs: Knobs[Cluster],
) -> None:
    """Assign the images of every shard, one shard at a time.

    Args:
        embeddings: EMBEDDINGS of the block's shards.
        images: Their IMAGES, in the same order.
        block: Name of the block, for the summary.
        centroids: Centroids, by cluster.py.
        out: Table to write (CLUSTERS).
        summary: Table to write (SUMMARY).
    """
    means = kmeans.load(centroids)
    shards = clusters.pairs(embeddings, images)
    counted: Counter[str] = Counter(kept=0)

    def frames() -> Iterator[pl.DataFrame]:
        for shard in track(shards, total=len(shards), label="assign", unit="shards"):
            rows, dropped = clusters.assigned(shard, means, origin=centroids)
            counted.update(kept=rows.height, **dropped)
            yield rows

    made_by = io.stamp("cluster", knobs=knobs, inputs=[*embeddings, *images, centroids])
    streaming.write(frames(), out, schema.CLUSTERS, made_by=made_by)
    counts = schema.summary("cluster", block, kept=counted.pop("kept"), dropped=counted)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
