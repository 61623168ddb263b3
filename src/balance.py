"""Draw a training set evenly over a hierarchy of the pool's clusters; no curated set is needed.

    python src/balance.py --images results/screen/crawl-?????.parquet \\
        --centroids results/cluster/centroids.safetensors \\
        --clusters results/cluster/crawl-block-?????.parquet \\
        --copies results/dedup/copies.parquet --out results/manifest/balanced.parquet \\
        --summary results/manifest/balanced.summary.parquet --target 1000000
"""

from pathlib import Path

from sauropod import cli, io, schema, streaming
from sauropod.cli import Knobs
from sauropod.config import Balance
from sauropod.retrieve import hierarchy, kmeans, manifest
from sauropod.retrieve.clusters import ClusterFiles


def main(
    images: tuple[Path, ...],
    centroids: Path,
    clusters: tuple[Path, ...],
    copies: Path,
    out: Path,
    summary: Path,
    knobs: Knobs[Balance],
) -> None:
    """Cluster the centroids level by level, share the target out from the top, and draw.

    Args:
        images: IMAGES of every shard of the pool.
        centroids: Centroids of the pool, by cluster.py: the lowest level.
        clusters: CLUSTERS of every shard of the pool, by assign.py.
        copies: COPIES of the pool: only kept images are drawn.
        out: Table to write (MANIFEST).
        summary: Table to write (SUMMARY).
    """
    means = kmeans.load(centroids)
    parents = hierarchy.fit(
        means,
        levels=knobs.levels,
        num_iterations=knobs.iterations,
        resampling_steps=knobs.resampling_steps,
        points_per_cluster=knobs.points_per_cluster,
        seed=knobs.seed,
    )
    pool = ClusterFiles(clusters, len(means), copies)
    drawn, every = hierarchy.balanced(pool, parents, target=knobs.target, seed=knobs.seed)
    made_by = io.stamp("balance", knobs=knobs, inputs=[*images, centroids, *clusters, copies])
    with io.scratch(out) as scratch:
        rows = manifest.balanced(drawn, images, scratch=scratch)
        streaming.write(rows.frames(), out, schema.MANIFEST, made_by=made_by)
    left = {"not_drawn": every - rows.kept}
    counts = schema.summary("balance", "pool", kept=rows.kept, dropped=left)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
