"""Balanced sampling over a hierarchy of k-means, for people without a curated set.

K-means puts its centroids where images are dense. Clustering the centroids again, level after
level, gives clusters that cover the space of concepts ever more evenly; between levels each cluster
is re-represented by the few points nearest to its centroid, which evens out what is left. Sharing a
target out from the top then draws rare concepts as often as frequent ones. Source: Vo et al. 2024
(arXiv 2405.15613), sections 3.2 to 3.4. Shapes: n points, d width, K clusters of a level.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from sauropod.errors import InputError
from sauropod.retrieve import kmeans
from sauropod.retrieve.clusters import ClusterFiles, draw
from sauropod.schema import NEIGHBOURS


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

    parents, points = [], centroids
    for count in levels:
        if not 0 < count < len(points):
            where = "balance.levels"
            expected = f"1 to {len(points) - 1} clusters above a level of {len(points)}"
            raise InputError(where, expected=expected, found=str(count), fix="correct the levels")
        means = kmeans.resampled(
            points,
            kmeans.fit(points, num_clusters=count, num_iterations=num_iterations, seed=seed)[0],
            steps=resampling_steps,
            points_per_cluster=points_per_cluster,
            num_iterations=num_iterations,
            seed=seed,
        )
        parents.append(kmeans.assign(points, means)[0])
        points = means
    return parents


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
    clusters: ClusterFiles, parents: Sequence[np.ndarray], *, target: int, seed: int
) -> tuple[pl.DataFrame, int]:
    """Draw exactly `target` images, balanced over the tree; no image comes twice.

    Args:
        clusters: The pool.
        parents: What `fit` returns.
        target: Images wanted.
        seed: The draw within clusters, keyed by content: sharding does not change it.

    Returns:
        NEIGHBOURS by cluster and rank, without dataset or query; and the images of the pool.

    Raises:
        InputError: more images wanted than there are.
    """
    sizes = clusters.sizes()
    every = int(sizes.sum())
    if not 0 < target <= every:
        expected = f"1 to {every}, the images of the pool"
        where, fix = "balance.target", "lower the target or give a larger pool"
        raise InputError(where, expected=expected, found=str(target), fix=fix)
    wanted = allocate(sizes, parents, target=target)
    drawn = draw(clusters, wanted, seed=seed, purpose="balance")
    kinds = NEIGHBOURS.columns
    missing = [pl.lit(None).alias(name) for name in kinds if name not in drawn.columns]
    rows = drawn.with_columns(*missing)
    return rows.select(pl.col(name).cast(kind) for name, kind in kinds.items()), every
