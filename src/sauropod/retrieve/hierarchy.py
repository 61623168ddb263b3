"""Balanced sampling over a hierarchy of k-means, for people without a curated set.

K-means puts its centroids where images are dense. Clustering the centroids again, level after
level, gives clusters that cover the space of concepts ever more evenly; between levels each cluster
is re-represented by the few points nearest to its centroid, which evens out what is left. Sharing a
target out from the top then draws rare concepts as often as frequent ones. Source: Vo et al. 2024
(arXiv 2405.15613), sections 3.2 to 3.4. Shapes: n points, d width, K clusters of a level.
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from sauropod.errors import InputError
from sauropod.retrieve import kmeans
from sauropod.retrieve.draw import content_keys
from sauropod.retrieve.places import rows_of
from sauropod.schema import MANIFEST

PLACE = ("tar", "offset", "num_bytes", "url", "sha256")


def fit(
    centroids: np.ndarray,
    *,
    levels: Sequence[int],
    num_iterations: int,
    resampling_steps: int,
    points_per_cluster: int,
    seed: int,
) -> list[np.ndarray]:
    """Cluster the centroids of level 1, then those of level 2, and so on.

    Args:
        centroids: (K, d) float32, level 1.
        levels: Clusters of level 2, 3, ..., each fewer than the one before.
        num_iterations: Iterations of every k-means.
        resampling_steps: How often a level is fitted again on the points nearest to its centroids.
        points_per_cluster: Points that stand for a cluster when its level is fitted again.
        seed: The run.

    Returns:
        For each level from 2 on, the cluster of every cluster of the level below, int64.

    Raises:
        InputError: a level with as many clusters as the one below, or more.
    """

    def fitted(some: np.ndarray, count: int) -> np.ndarray:
        return kmeans.fit(some, num_clusters=count, num_iterations=num_iterations, seed=seed)[0]

    parents, points = [], centroids
    for count in levels:
        if not 0 < count < len(points):
            where = "balance.levels"
            expected = f"1 to {len(points) - 1} clusters above a level of {len(points)}"
            raise InputError(where, expected=expected, found=str(count), fix="correct the levels")
        means = fitted(points, count)
        for _ in range(resampling_steps):
            chosen = nearest_members(points, means, count=points_per_cluster)
            if len(chosen) < count:
                break
            means = fitted(points[chosen], count)
        parents.append(kmeans.assign(points, means)[0])
        points = means
    return parents


def nearest_members(points: np.ndarray, means: np.ndarray, *, count: int) -> np.ndarray:
    """Positions of each cluster's `count` points nearest to its mean (all of a smaller one)."""
    labels, distances = kmeans.assign(points, means)
    order = np.lexsort((np.arange(len(points)), distances, labels))
    sizes = np.bincount(labels, minlength=len(means))
    rank = np.arange(len(points)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[rank < count])


def allocate(sizes: np.ndarray, parents: Sequence[np.ndarray], *, target: int) -> np.ndarray:
    """Share a target out from the top of the tree to the clusters of level 1, as evenly as it goes.

    Args:
        sizes: (K,) images of every cluster of level 1.
        parents: What `fit` returns.
        target: At most the sum of sizes.

    Returns:
        (K,) int64 of sum `target`, each at most the cluster's size.
    """
    held = [np.asarray(sizes, np.int64)]
    for parent in parents:
        above = np.zeros(int(parent.max()) + 1, np.int64)
        np.add.at(above, parent, held[-1])
        held.append(above)
    given = water_filled(held[-1], target)
    for below, parent in zip(held[-2::-1], list(parents)[::-1], strict=True):
        shared = np.zeros(len(below), np.int64)
        order = np.argsort(parent, kind="stable")
        ends = np.cumsum(np.bincount(parent, minlength=len(given)))
        for number, members in enumerate(np.split(order, ends[:-1])):
            if given[number]:
                shared[members] = water_filled(below[members], int(given[number]))
        given = shared
    return given


def water_filled(sizes: np.ndarray, target: int) -> np.ndarray:
    """Give every group the same, smaller ones all they have, `target` in all.

    The groups that are larger than the level x differ by at most one: the first of them by number
    get x + 1.

    Args:
        sizes: (g,) whole numbers.
        target: 0 to the sum of sizes.

    Returns:
        (g,) int64.
    """
    assert 0 <= target <= int(sizes.sum())
    low, high = 0, int(sizes.max(initial=0))
    while low < high:  # the largest level that does not exceed the target
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if np.minimum(sizes, middle).sum() <= target else (low, middle - 1)
        )
    given = np.minimum(sizes, low).astype(np.int64)
    given[np.flatnonzero(sizes > low)[: target - int(given.sum())]] += 1
    return given


def balanced(
    clusters: pl.DataFrame,
    parents: Sequence[np.ndarray],
    *,
    num_clusters: int,
    target: int,
    seed: int,
    sha256: Callable[[np.ndarray], pl.Series],
) -> pl.DataFrame:
    """Draw exactly `target` images, balanced over the tree; no image comes twice.

    Args:
        clusters: CLUSTERS of the pool.
        parents: What `fit` returns.
        num_clusters: Clusters of level 1, empty ones too.
        target: Images wanted.
        seed: The draw within clusters, keyed by content: sharding does not change it.
        sha256: Gives the sha256 of some image ids, in their order.

    Returns:
        Rows of `clusters`, by cluster.

    Raises:
        InputError: more images wanted than there are.
    """
    if not 0 < target <= clusters.height:
        expected = f"1 to {clusters.height}, the images of the pool"
        where, fix = "balance.target", "lower the target or give a larger pool"
        raise InputError(where, expected=expected, found=str(target), fix=fix)
    sizes = np.bincount(clusters["cluster"].to_numpy(), minlength=num_clusters)
    wanted = pl.Series(allocate(sizes, parents, target=target))
    hashes = sha256(clusters["image_id"].to_numpy())
    keys = content_keys(hashes, seed=seed, purpose="balance")
    keyed = clusters.with_columns(key=pl.Series(keys), sha256=hashes)
    keyed = keyed.sort("cluster", "key", "sha256", "image_id")
    place = pl.int_range(pl.len(), dtype=pl.Int64).over("cluster")
    chosen = keyed.filter(place < wanted.gather(keyed["cluster"]))
    return chosen.select(clusters.columns)


def manifest_of(chosen: pl.DataFrame, images: pl.LazyFrame) -> pl.DataFrame:
    """MANIFEST of chosen CLUSTERS rows, sorted by content as every manifest is.

    Raises:
        InputError: an image that IMAGES does not hold.
    """
    placed = rows_of(images, chosen["image_id"].to_numpy(), PLACE)
    frame = placed.with_columns(chosen["cluster"], source=pl.lit("cluster"))
    kinds = MANIFEST.columns
    missing = [pl.lit(None).alias(name) for name in kinds if name not in frame.columns]
    frame = frame.with_columns(*missing).sort("sha256", "cluster", "image_id")
    return frame.select(pl.col(name).cast(kind) for name, kind in kinds.items())
