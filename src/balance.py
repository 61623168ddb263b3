"""Draw a training set evenly over a hierarchy of the pool's clusters; no curated set is needed.

    python src/balance.py --images results/screen/crawl-?????.parquet \\
        --centroids results/cluster/centroids.safetensors \\
        --clusters results/cluster/clusters.parquet --out results/manifest/balanced.parquet \\
        --summary results/manifest/balanced.summary.parquet --target 1000000
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Balance
from sauropod.retrieve import hierarchy, kmeans
from sauropod.retrieve.places import rows_of


def main(
    images: tuple[Path, ...],
    centroids: Path,
    clusters: Path,
    out: Path,
    summary: Path,
    knobs: Knobs[Balance],
) -> None:
    """Cluster the centroids level by level, share the target out from the top, and draw.

    Args:
        images: IMAGES of every shard of the pool.
        centroids: Centroids of the pool, by cluster.py: the lowest level.
        clusters: CLUSTERS of the pool, by cluster.py.
        out: Table to write (MANIFEST).
        summary: Table to write (SUMMARY).
    """
    means = kmeans.load(centroids)
    pool = schema.read(clusters, schema.CLUSTERS)
    places = schema.scan(images, schema.IMAGES)
    parents = hierarchy.fit(
        means,
        levels=knobs.levels,
        num_iterations=knobs.iterations,
        resampling_steps=knobs.resampling_steps,
        points_per_cluster=knobs.points_per_cluster,
        seed=knobs.seed,
    )
    chosen = hierarchy.balanced(
        pool,
        parents,
        num_clusters=len(means),
        target=knobs.target,
        seed=knobs.seed,
        sha256=lambda ids: rows_of(places, ids, ["sha256"])["sha256"],
    )
    rows = hierarchy.manifest_of(chosen, places)
    made_by = io.stamp("balance", knobs=knobs, inputs=[*images, centroids, clusters])
    counts = schema.summary(
        "balance", "pool", kept=rows.height, dropped={"not_drawn": pool.height - rows.height}
    )
    schema.write(rows, out, schema.MANIFEST, made_by=made_by)
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
