"""K-means of embeddings on any number of ranks, every iteration resumable to the bit.

An iteration is a function of (centroids, vectors, seed, iteration number) only. Float16 numbers up
to one are multiples of 2^-24, so that float64 adds half a billion of them without rounding: sums
depend neither on order nor on how chunks are dealt to ranks, and what changed cluster can be taken
from one sum and added to another. Ranks share no GPU: Faiss takes all that a process sees.
Shapes: n vectors, d width, K clusters.
"""

import json
import logging
import math
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sauropod.errors import InputError
from sauropod.io import replacing
from sauropod.progress import track
from sauropod.retrieve.draw import vector_keys
from sauropod.retrieve.members import Members, Nearest, chunk_of, chunks, own
from sauropod.train.sharding import all_gathered, ranks

log = logging.getLogger(__name__)

SPLIT = 1.0 / 1024.0


def fit(
    vectors: np.ndarray,
    *,
    num_clusters: int,
    num_iterations: int,
    seed: int,
    checkpoint: Path | None = None,
) -> tuple[np.ndarray, list[float]]:
    """Cluster vectors by Lloyd's algorithm from a random choice of them.

    Under `joined` every rank is given the same vectors, works on its share, returns the same.
    Memory: the vectors, unless they are a memory map, 8 n bytes of labels and distances (as much
    again while a checkpoint is written), and at most 48 K d of centroids and their sums.

    Args:
        vectors: (n, d) float16 or float32, n >= `num_clusters`; the order is part of the input.
        num_clusters: K.
        num_iterations: Iterations; all are run.
        seed: Seed of the first centroids and of the repair of empty clusters.
        checkpoint: File rewritten after every iteration and resumed from when it is of this run.

    Returns:
        Centroids (K, d) float32, and after each iteration's assignment the sum of squared
        distances to the centroids assigned to.

    Raises:
        InputError: more clusters than vectors, or a vector that is not finite.
    """
    _check_enough(vectors, num_clusters)
    run = _fingerprint(vectors, num_clusters, num_iterations, seed) if checkpoint else ""
    members = Members(vectors, num_clusters)
    centroids, objectives = _resume(checkpoint, run, members)
    if centroids is None:
        first = _generator(seed, 0).permutation(len(vectors))[:num_clusters]
        centroids = vectors[np.sort(first)].astype(np.float32)
    squares = _squares(vectors)
    todo = range(len(objectives), num_iterations)
    for iteration in track(todo, total=len(todo), label="k-means", unit="iterations"):
        sums, sizes = members.add_up(centroids)
        objectives.append(squares + _minus_squares(centroids, sums, sizes))
        means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centroids)
        before, centroids = centroids, _repair(means, sizes, _generator(seed, iteration + 1))
        if checkpoint is not None:
            _store(checkpoint, centroids, before, objectives, members, run)
    return centroids, objectives


def fit_two_level(
    vectors: np.ndarray,
    *,
    num_clusters: int,
    num_iterations: int,
    seed: int,
    checkpoint: Path | None = None,
) -> tuple[np.ndarray, list[float]]:
    """Fit sqrt(K) coarse clusters, then split each into fine ones in proportion to its size.

    Costs 2 / sqrt(K) of `fit`. Arguments, results and errors are those of `fit`; `checkpoint` names
    a series of files, one per fit; the objectives are of the finished fits, summed over the coarse
    clusters, each vector counted within its own.
    """
    options = {"num_iterations": num_iterations, "seed": seed}
    _check_enough(vectors, num_clusters)
    num_coarse = round(math.sqrt(num_clusters))
    at = _beside(checkpoint, "coarse")
    coarse, _ = fit(vectors, num_clusters=num_coarse, checkpoint=at, **options)
    labels, _ = shared_assignment(vectors, coarse)
    order, sizes = np.argsort(labels, kind="stable"), np.bincount(labels, minlength=num_coarse)
    members = np.split(order, np.cumsum(sizes)[:-1])
    fine, objectives = [], np.zeros(num_iterations)
    for number, share in enumerate(shares(sizes, num_clusters).tolist()):
        if share:
            own, at = vectors[members[number]], _beside(checkpoint, f"fine{number:05d}")
            means, found = fit(own, num_clusters=share, checkpoint=at, **options)
            fine.append(means)
            objectives += found
    return np.concatenate(fine), objectives.tolist()


def resampled(
    points: np.ndarray,
    means: np.ndarray,
    *,
    steps: int,
    points_per_cluster: int,
    num_iterations: int,
    seed: int,
) -> np.ndarray:
    """Fit centroids again and again on the few points nearest to each, which evens them out.

    Source: Vo et al. 2024 (arXiv 2405.15613), section 3.4.

    Args:
        points: (n, d) what the centroids were fitted on.
        means: (K, d) float32.
        steps: How often; it ends where fewer than K points are left.
        points_per_cluster: Points that stand for a cluster; about half its mean size.
        num_iterations: Iterations of every fit.
        seed: Seed of every fit.

    Returns:
        (K, d) float32.
    """
    for _ in range(steps):
        chosen = nearest_members(points, means, count=points_per_cluster)
        if len(chosen) < len(means):
            break
        count = len(means)
        means, _ = fit(points[chosen], num_clusters=count, num_iterations=num_iterations, seed=seed)
    return means


def nearest_members(points: np.ndarray, means: np.ndarray, *, count: int) -> np.ndarray:
    """Positions of each cluster's `count` points nearest to its mean (all of a smaller one)."""
    labels, distances = shared_assignment(points, means)
    order = np.lexsort((np.arange(len(points)), distances, labels))
    sizes = np.bincount(labels, minlength=len(means))
    rank = np.arange(len(points)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[rank < count])


def shared_assignment(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find each vector's nearest centroid, every rank a share of them.

    Returns:
        labels (n,) int32 and squared L2 distances (n,) float32, the same on all ranks.
    """
    members = Members(vectors, len(centroids))
    members.add_up(centroids)
    return members.state()


def shares(sizes: np.ndarray, total: int) -> np.ndarray:
    """Split `total` over groups in proportion to their sizes (largest remainders, ties by number).

    Args:
        sizes: (g,) whole numbers.
        total: At most the sum of sizes.

    Returns:
        (g,) int64 of sum `total`, each at most the group's size.
    """
    exact = sizes * (total / max(int(sizes.sum()), 1))
    given = np.minimum(np.floor(exact).astype(np.int64), sizes)
    by_remainder = np.argsort(given - exact, kind="stable")
    while (left := total - int(given.sum())) > 0:
        room = by_remainder[given[by_remainder] < sizes[by_remainder]]
        assert len(room), "total exceeds the sizes"
        given[room[:left]] += 1
    return given


def assign(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find each vector's nearest centroid.

    Returns:
        labels (n,) int64 and squared L2 distances (n,) float32, recomputed one by one so that
        they do not depend on batching; a vector that is not finite has a distance that is not.
    """
    labels = np.empty(len(vectors), np.int64)
    distances = np.empty(len(vectors), np.float32)
    nearest = Nearest(centroids)
    for part in chunks(len(vectors)):
        wide = chunk_of(vectors, part)
        labels[part], _ = nearest(wide)
        apart = wide.numpy() - centroids[labels[part]]
        distances[part] = np.einsum("nd,nd->n", apart, apart)
    return labels, distances


def _check_enough(vectors: np.ndarray, num_clusters: int) -> None:
    if not 0 < num_clusters <= len(vectors):
        where = "cluster.clusters"
        raise InputError(
            where,
            expected=f"1 to {len(vectors)}, the distinct embeddings of the sample",
            found=str(num_clusters),
            fix="lower clusters, or give a larger pool or sample",
        )


def _squares(vectors: np.ndarray) -> float:
    """Sum of squared lengths, the same on any number of ranks."""
    parts = own(chunks(len(vectors)))
    sums = []
    for part in parts:
        chunk = chunk_of(vectors, part).numpy()
        sums.append(float(np.einsum("nd,nd->n", chunk, chunk).sum(dtype=np.float64)))
    total = math.fsum(number for own in all_gathered(sums) for number in own)
    if not math.isfinite(total):
        where = "cluster.sample"
        raise InputError(
            where,
            expected="embeddings of finite numbers",
            found="NaN or infinity",
            fix="embed the pool again: its weights or its images are broken",
        )
    return total


def _minus_squares(centroids: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> float:
    """Sum of squared distances without the vectors' own squares: n cc - 2 c sum(x)."""
    wide = centroids.astype(np.float64)
    return float(np.sum(wide * (wide * sizes[:, None] - 2 * sums)))


def _beside(checkpoint: Path | None, name: str) -> Path | None:
    return None if checkpoint is None else checkpoint.with_stem(f"{checkpoint.stem}-{name}")


def load(path: Path) -> np.ndarray:
    """Read the centroids (K, d) float32 that `save` wrote.

    Raises:
        InputError: the file is missing or holds no centroids.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return file.get_tensor("centroids")
    except (OSError, SafetensorError) as error:
        found = str(error).splitlines()[0]
        fix = "make them with cluster.py"
        raise InputError(path, expected="centroids", found=found, fix=fix) from error


def save(
    centroids: np.ndarray,
    path: Path,
    *,
    objectives: list[float],
    metadata: dict[str, str],
    **state: np.ndarray,
) -> None:
    """Write the centroids (K, d) float32 as safetensors, with the objective of every iteration.

    `state` is what a checkpoint holds beside them.
    """
    objective = np.asarray(objectives, np.float64)
    tensors = {"centroids": centroids, "objectives": objective, **state}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _generator(seed: int, iteration: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, iteration])))


def _repair(means: np.ndarray, sizes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Split as Faiss does: the donor is drawn in proportion to size - 1, both halves move apart."""
    sizes = sizes.astype(np.float64)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        log.info("k-means: splitting for %d empty clusters", len(empty))
    away = np.where(np.arange(means.shape[1]) % 2 == 0, 1 + SPLIT, 1 - SPLIT)
    for cluster in empty:
        chances = np.maximum(sizes - 1, 0)
        donor = generator.choice(len(sizes), p=chances / chances.sum())
        means[cluster] = means[donor] * away
        means[donor] = means[donor] * (2 - away)
        sizes[cluster] = sizes[donor] / 2
        sizes[donor] -= sizes[cluster]
    return means.astype(np.float32)


def _fingerprint(vectors: np.ndarray, num_clusters: int, num_iterations: int, seed: int) -> str:
    """Tell one run from another: shape, type, knobs and a sum over every vector's bytes."""
    halves = vectors if vectors.dtype == np.float16 else vectors.astype(np.float16)
    total = int(vector_keys(halves, seed=0, purpose="fingerprint").sum(dtype=np.uint64))
    knobs = [num_clusters, num_iterations, seed]
    return json.dumps([list(vectors.shape), str(vectors.dtype), *knobs, total])


def _store(
    path: Path,
    centroids: np.ndarray,
    before: np.ndarray,
    objectives: list[float],
    members: Members,
    run: str,
) -> None:
    labels, distances = members.state()
    if ranks().rank:
        return
    state = {"labels": labels, "distances": distances}
    state["moved"] = (centroids != before).any(axis=1)
    save(centroids, path, objectives=objectives, metadata={"run": run}, **state)


def _resume(path: Path | None, run: str, members: Members) -> tuple[np.ndarray | None, list[float]]:
    if path is None or not path.exists():
        return None, []
    with safe_open(path, framework="numpy") as file:
        if (file.metadata() or {}).get("run") != run:
            log.info("%s is a checkpoint of another run: starting anew", path)
            return None, []
        objectives = file.get_tensor("objectives").tolist()
        log.info("%s: resuming after iteration %d", path, len(objectives))
        centroids = file.get_tensor("centroids")
        before = np.where(file.get_tensor("moved")[:, None], np.float32(np.nan), centroids)
        members.restore(file.get_tensor("labels"), file.get_tensor("distances"), before)
        return centroids, objectives
