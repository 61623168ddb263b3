"""Fit k-means centroids to a sample of the pool's embeddings.

    python src/cluster.py --vectors results/cluster/sample.safetensors \\
        --out results/cluster/centroids.safetensors --checkpoints checkpoints/cluster

Under torchrun or srun the ranks share the work: over gloo, or each on a GPU, over NCCL.
"""

from pathlib import Path

from sauropod import cli, io
from sauropod.cli import Knobs
from sauropod.config import Cluster
from sauropod.retrieve import kmeans, vector_file
from sauropod.train.sharding import joined, pick_device, ranks


def main(vectors: Path, out: Path, knobs: Knobs[Cluster], checkpoints: Path | None = None) -> None:
    """Fit centroids; the sample stays on disk, each rank reads its share in every iteration.

    Args:
        vectors: The sample, by cluster_sample.py.
        out: Centroids to write (safetensors).
        checkpoints: Folder of the last iteration's state; an interrupted run resumes from it.
    """
    sample = vector_file.mapped(vectors)
    place = ranks()
    options = {"num_iterations": knobs.iterations, "seed": knobs.seed}
    with joined(place, pick_device("auto", place)):
        fit = kmeans.fit_two_level if knobs.levels == 2 else kmeans.fit
        means, objectives = fit(
            sample,
            num_clusters=knobs.clusters,
            checkpoint=checkpoints / "kmeans.safetensors" if checkpoints else None,
            **options,
        )
        means = kmeans.resampled(
            sample,
            means,
            steps=knobs.resampling_steps,
            points_per_cluster=knobs.points_per_cluster,
            **options,
        )
    if place.rank == 0:
        made_by = io.stamp("cluster", knobs=knobs, inputs=vector_file.inputs(vectors))
        kmeans.save(means, out, objectives=objectives, metadata=made_by)


if __name__ == "__main__":
    cli.run(main)
