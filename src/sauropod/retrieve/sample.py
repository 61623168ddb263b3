"""The two ways to retrieve images of the pool for a curated dataset (DINOv2 appendix A.4).

`by_query` (large datasets) takes each query's N nearest images; an image found by two queries is
two rows. `by_cluster` (small datasets) draws M images from every k-means cluster of the pool that
holds enough queries, at most `cap` in all. Shapes: q queries, d width, K clusters, N neighbours.
"""

import numpy as np
import polars as pl

from sauropod.retrieve import kmeans
from sauropod.retrieve.clusters import ClusterFiles, draw
from sauropod.retrieve.draw import draw_keys, smallest
from sauropod.retrieve.exact import Neighbours
from sauropod.retrieve.vectors import Shard
from sauropod.schema import NEIGHBOURS


def by_query(queries: Shard, found: Neighbours, *, dataset: str) -> pl.DataFrame:
    """Make rows of the images of the pool found for each query, nearest first.

    Returns:
        NEIGHBOURS by query id and rank (1 is the nearest), `cluster` null. Rows = queries times
        neighbours unless the pool is smaller.
    """
    ids, _ = queries
    names, cosines = found
    rows, columns = np.nonzero(names >= 0)
    return _neighbours(
        names[rows, columns],
        dataset=dataset,
        query_id=ids[rows],
        rank=columns + 1,
        similarity=cosines[rows, columns],
    )


def query_clusters(vectors: np.ndarray, centroids: np.ndarray, *, min_queries: int) -> np.ndarray:
    """Clusters that hold at least `min_queries` of the (q, d) queries, ascending, int64."""
    labels, _ = kmeans.assign(vectors, centroids)
    sizes = np.bincount(labels, minlength=len(centroids))
    return np.flatnonzero(sizes >= min_queries)


def by_cluster(
    clusters: ClusterFiles,
    hit: np.ndarray,
    *,
    dataset: str,
    per_cluster: int,
    cap: int,
    seed: int,
) -> tuple[pl.DataFrame, int]:
    """Draw images from the clusters hit by a dataset's queries.

    The draw is keyed by each image's sha256 and the seed: neither sharding nor other datasets
    change it. Memory is that of `clusters.draw` for all images drawn before the cap.

    Args:
        clusters: The pool.
        hit: The clusters to draw from, ascending.
        dataset: Name of the curated dataset.
        per_cluster: M; a smaller cluster gives all it has.
        cap: Most rows in all; beyond it a second keyed draw thins the first evenly.
        seed: The draw.

    Returns:
        NEIGHBOURS by cluster and rank (order of the draw, 1 first), `query_id` and `similarity`
        null; and the number of rows before the cap.
    """
    wanted = np.zeros(clusters.num_clusters, np.int64)
    wanted[hit] = per_cluster
    drawn = draw(clusters, wanted, seed=seed, purpose="cluster")
    content = drawn["content_key"].to_numpy()
    thin = draw_keys(content, seed=seed, purpose=f"cap {dataset}")
    kept = drawn[np.sort(smallest(thin, cap))]
    rank, cluster = kept["rank"].to_numpy(), kept["cluster"].to_numpy()
    rows = _neighbours(kept["image_id"].to_numpy(), dataset=dataset, rank=rank, cluster=cluster)
    return rows, drawn.height


def _neighbours(image_id: np.ndarray, *, dataset: str, **columns: np.ndarray) -> pl.DataFrame:
    """Make NEIGHBOURS rows; a column that is not given is null."""
    kinds = NEIGHBOURS.columns
    frame = pl.DataFrame({"image_id": image_id, **columns})
    missing = [pl.lit(None).alias(name) for name in kinds if name not in frame.columns]
    frame = frame.with_columns(*missing).with_columns(query_dataset=pl.lit(dataset))
    return frame.select(pl.col(name).cast(kind) for name, kind in kinds.items())
