"""Cluster the pool's embeddings by k-means.

    python src/cluster.py --embeddings results/embed/crawl-?????.parquet \\
        --centroids results/cluster/centroids.safetensors --out results/cluster/clusters.parquet \\
        --summary results/cluster/summary.parquet --checkpoints checkpoints/cluster
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Cluster
from sauropod.retrieve import kmeans
from sauropod.retrieve.draw import sample_vectors
from sauropod.retrieve.vectors import StoredVectors


def main(
    embeddings: tuple[Path, ...],
    centroids: Path,
    out: Path,
    summary: Path,
    knobs: Knobs[Cluster],
    checkpoints: Path | None = None,
) -> None:
    """Fit centroids on a sample, then assign the whole pool.

    Args:
        embeddings: EMBEDDINGS of every shard of the pool.
        centroids: Centroids to write (safetensors).
        out: Table to write (CLUSTERS).
        summary: Table to write (SUMMARY).
        checkpoints: Folder of the last iteration's state; an interrupted run resumes from it.
    """
    for path in embeddings:
        schema.check(path, schema.EMBEDDINGS)
    stored = StoredVectors(embeddings, schema.EMBEDDINGS)
    sample = sample_vectors(stored.arrays(), size=knobs.sample, seed=knobs.seed, purpose="cluster")
    means, objectives = kmeans.fit(
        sample,
        num_clusters=knobs.clusters,
        num_iterations=knobs.iterations,
        seed=knobs.seed,
        checkpoint=checkpoints / "kmeans.safetensors" if checkpoints else None,
    )
    rows = kmeans.assign_all(stored, means)
    made_by = io.stamp("cluster", knobs=knobs, inputs=embeddings)
    counts = schema.summary("cluster", "pool", kept=rows.height, dropped={})
    kmeans.save(means, centroids, objectives=objectives, metadata=made_by)
    schema.write(rows, out, schema.CLUSTERS, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
