"""Assign a shard of the pool to its nearest centroids.

    python src/assign.py --embeddings results/embed/crawl-00000.parquet \\
        --images results/screen/crawl-00000.parquet --shard crawl-00000 \\
        --centroids results/cluster/centroids.safetensors \\
        --out results/cluster/crawl-00000.parquet \\
        --summary results/cluster/crawl-00000.summary.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Cluster
from sauropod.retrieve import clusters, kmeans


def main(
    embeddings: Path,
    images: Path,
    shard: str,
    centroids: Path,
    out: Path,
    summary: Path,
    knobs: Knobs[Cluster],
) -> None:
    """Assign one shard.

    Args:
        embeddings: EMBEDDINGS of the shard.
        images: IMAGES of the shard.
        shard: Its name, for the summary.
        centroids: Centroids, by cluster.py.
        out: Table to write (CLUSTERS).
        summary: Table to write (SUMMARY).
    """
    means = kmeans.load(centroids)
    rows, dropped = clusters.assigned((embeddings, images), means, origin=centroids)
    made_by = io.stamp("cluster", knobs=knobs, inputs=[embeddings, images, centroids])
    counts = schema.summary("cluster", shard, kept=rows.height, dropped=dropped)
    schema.write(rows, out, schema.CLUSTERS, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
