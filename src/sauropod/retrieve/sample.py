"""The two ways to retrieve images of the pool for a curated dataset (DINOv2 appendix A.4).

`by_query` (large datasets) takes each query's N nearest images; an image found by two queries is
two rows. `by_cluster` (small datasets) draws M images from every k-means cluster of the pool that
holds enough queries, at most `cap` in all. Shapes: q queries, d width, K clusters, N neighbours.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from sauropod.dedup.copies import Collection
from sauropod.retrieve import index as nearest
from sauropod.retrieve import kmeans
from sauropod.retrieve.draw import content_keys, smallest
from sauropod.retrieve.vectors import Shard
from sauropod.schema import NEIGHBOURS

BATCH = 65_536


def by_query(
    queries: Shard, pool: Collection, *, dataset: str, per_query: int, over_fetch: int
) -> pl.DataFrame:
    """Find the `per_query` images of the pool nearest to each query by exact cosine.

    Returns:
        NEIGHBOURS by query id and rank (1 is the nearest), `cluster` null. Rows = queries times
        `per_query` unless the pool is smaller.
    """
    ids, vectors = queries
    found, best = neighbours(vectors, pool, count=per_query, over_fetch=over_fetch)
    rows, columns = np.nonzero(found >= 0)
    return _neighbours(
        found[rows, columns],
        dataset=dataset,
        query_id=ids[rows],
        rank=columns + 1,
        similarity=best[rows, columns],
    )


def neighbours(
    queries: np.ndarray, pool: Collection, *, count: int, over_fetch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find each query's nearest images: ids (q, k) int64, -1 for none, and cosines (q, k)."""
    origin = pool.origin
    proposed = nearest.candidates(pool.index, queries, count=count * over_fetch, origin=origin)
    similarities = nearest.exact_similarities(queries, proposed, pool.stored, origin=origin)
    return nearest.nearest(proposed, similarities, count=count)


def query_clusters(vectors: np.ndarray, centroids: np.ndarray, *, min_queries: int) -> np.ndarray:
    """Clusters that hold at least `min_queries` of the (q, d) queries, ascending, int64."""
    labels, _ = kmeans.assign(vectors, centroids)
    sizes = np.bincount(labels, minlength=len(centroids))
    return np.flatnonzero(sizes >= min_queries)


def by_cluster(
    members: pl.DataFrame,
    *,
    dataset: str,
    per_cluster: int,
    cap: int,
    seed: int,
    sha256: Callable[[np.ndarray], pl.Series],
) -> tuple[pl.DataFrame, int]:
    """Draw images from the clusters hit by a dataset's queries.

    The draw is keyed by each image's sha256 and the seed: neither sharding nor other datasets
    change it.

    Args:
        members: CLUSTERS rows of those clusters.
        dataset: Name of the curated dataset.
        per_cluster: M; a smaller cluster gives all it has.
        cap: Most rows in all; beyond it a second keyed draw thins the first evenly.
        seed: The draw.
        sha256: Gives the sha256 of some image ids, in their order.

    Returns:
        NEIGHBOURS by cluster and rank (order of the draw, 1 first), `query_id` and `similarity`
        null; and the number of rows before the cap.
    """
    hashes = sha256(members["image_id"].to_numpy())
    keyed = members.select("image_id", "cluster").with_columns(
        key=pl.Series(content_keys(hashes, seed=seed, purpose="cluster")),
        thin=pl.Series(content_keys(hashes, seed=seed, purpose=f"cap {dataset}")),
        sha256=hashes,
    )
    keyed = keyed.sort("cluster", "key", "sha256", "image_id")
    keyed = keyed.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("cluster"))
    drawn = keyed.filter(pl.col("rank") <= per_cluster)
    kept = drawn[np.sort(smallest(drawn["thin"].to_numpy(), cap))]
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
