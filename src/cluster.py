"""Cluster the pool's embeddings by k-means.

    python src/cluster.py --embeddings results/embed/crawl-?????.parquet \\
        --centroids results/cluster/centroids.safetensors --out results/cluster/clusters.parquet \\
        --summary results/cluster/summary.parquet --checkpoints checkpoints/cluster

Under torchrun or srun the ranks share the work; give each of them GPUs of its own.
"""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import torch

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Cluster
from sauropod.retrieve import kmeans
from sauropod.retrieve.draw import sample_vectors
from sauropod.retrieve.vectors import StoredVectors
from sauropod.train.sharding import all_gathered, joined, ranks


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
    place = ranks()
    with joined(place, torch.device("cpu")):
        sample = sample_vectors(
            stored.arrays(), size=knobs.sample, seed=knobs.seed, purpose="cluster"
        )
        fit = kmeans.fit_two_level if knobs.levels == 2 else kmeans.fit
        means, objectives = fit(
            sample,
            num_clusters=knobs.clusters,
            num_iterations=knobs.iterations,
            seed=knobs.seed,
            checkpoint=checkpoints / "kmeans.safetensors" if checkpoints else None,
        )
        own = np.array_split(np.arange(len(embeddings)), place.world_size)[place.rank]
        part = dataclasses.replace(stored, paths=[embeddings[number] for number in own])
        rows = pl.concat(all_gathered(kmeans.assign_all(part, means)))
    if place.rank:
        return
    every = schema.scan(embeddings, schema.EMBEDDINGS).select(pl.len()).collect().item()
    made_by = io.stamp("cluster", knobs=knobs, inputs=embeddings)
    counts = schema.summary(
        "cluster", "pool", kept=rows.height, dropped={"not_finite": every - rows.height}
    )
    kmeans.save(means, centroids, objectives=objectives, metadata=made_by)
    schema.write(rows, out, schema.CLUSTERS, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
