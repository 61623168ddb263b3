"""K-means of embeddings on any number of ranks, every iteration resumable to the bit.

An iteration is a function of (centroids, vectors, seed, iteration number) only. Float16 numbers up
to one are multiples of 2^-24, so that float64 adds half a billion of them without rounding: sums
depend neither on order nor on how chunks are dealt to ranks. Ranks share no GPU: Faiss takes all
that a process sees. Shapes: n vectors, d width, K clusters, b vectors of a chunk.
"""

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import polars as pl
import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sauropod.errors import InputError
from sauropod.io import replacing
from sauropod.progress import track
from sauropod.retrieve.draw import vector_keys
from sauropod.retrieve.index import on_gpu
from sauropod.retrieve.vectors import StoredVectors
from sauropod.schema import CLUSTERS
from sauropod.train.sharding import all_gathered, ranks

log = logging.getLogger(__name__)

CHUNK = 4096
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
    run = _fingerprint(vectors, num_clusters, num_iterations, seed)
    centroids, objectives = _resume(checkpoint, run)
    if centroids is None:
        first = _generator(seed, 0).permutation(len(vectors))[:num_clusters]
        centroids = vectors[np.sort(first)].astype(np.float32)
    squares = _squares(vectors)
    todo = range(len(objectives), num_iterations)
    for iteration in track(todo, total=len(todo), label="k-means", unit="iterations"):
        sums, sizes = _add_up(vectors, centroids)
        objectives.append(squares + _minus_squares(centroids, sums, sizes))
        means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centroids)
        repaired = _repair(means, sizes, _generator(seed, iteration + 1))
        centroids = repaired.astype(np.float32)
        if checkpoint is not None and ranks().rank == 0:
            _store(checkpoint, centroids, objectives, run)
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
    labels, _ = assign(vectors, coarse)
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
    index = _index(centroids)
    for part in _chunks(len(vectors)):
        chunk = _chunk(vectors, part).numpy()
        labels[part] = index.search(chunk, 1)[1][:, 0]
        apart = chunk - centroids[labels[part]]
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


def _add_up(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum the vectors nearest to each centroid: sums (K, d) float64 and how many (K,) int64."""
    sums = torch.zeros(centroids.shape, dtype=torch.float64)
    sizes = torch.zeros(len(centroids), dtype=torch.int64)
    index = _index(centroids)
    for part in _own(_chunks(len(vectors))):
        chunk = _chunk(vectors, part)
        labels = torch.from_numpy(index.search(chunk.numpy(), 1)[1][:, 0])
        sums.index_add_(0, labels, chunk.double())
        sizes += torch.bincount(labels, minlength=len(centroids))
    if dist.is_initialized():
        dist.all_reduce(sums)
        dist.all_reduce(sizes)
    return sums.numpy(), sizes.numpy()


def _index(centroids: np.ndarray) -> faiss.Index:
    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    return faiss.index_cpu_to_all_gpus(index) if on_gpu() else index


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, count, CHUNK))


def _own(parts: Iterator[slice]) -> Iterator[slice]:
    """This rank's chunks: whole ones, so that a chunk's labels are the same on any rank."""
    place, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    return (part for number, part in enumerate(parts) if number % size == place)


def _chunk(vectors: np.ndarray, part: slice) -> torch.Tensor:
    """(b, d) float32; Torch widens float16 four times as fast as numpy."""
    return torch.tensor(vectors[part]).float()


def _squares(vectors: np.ndarray) -> float:
    """Sum of squared lengths, the same on any number of ranks."""
    parts = _own(_chunks(len(vectors)))
    sums = [float(_chunk(vectors, part).double().square().sum()) for part in parts]
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


def assign_all(stored: StoredVectors, centroids: np.ndarray) -> pl.DataFrame:
    """Assign every stored vector to its nearest centroid.

    Returns:
        CLUSTERS in the files' order, without vectors that are not finite.
    """
    columns = dict(CLUSTERS.columns)
    frames = [pl.DataFrame(schema=columns)]
    for ids, vectors in stored:
        labels, distances = assign(vectors, centroids)
        rows = {"image_id": ids, "cluster": labels.astype(np.uint32), "distance": distances}
        frames.append(pl.DataFrame(rows, schema=columns).filter(pl.col("distance").is_finite()))
    return pl.concat(frames)


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
    centroids: np.ndarray, path: Path, *, objectives: list[float], metadata: dict[str, str]
) -> None:
    """Write the centroids (K, d) float32 as safetensors, with the objective of every iteration."""
    tensors = {"centroids": centroids, "objectives": np.asarray(objectives, np.float64)}
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
    return means


def _fingerprint(vectors: np.ndarray, num_clusters: int, num_iterations: int, seed: int) -> str:
    """Tell one run from another: shape, type, knobs and a sum over every vector's bytes."""
    halves = vectors if vectors.dtype == np.float16 else vectors.astype(np.float16)
    total = int(vector_keys(halves, seed=0, purpose="fingerprint").sum(dtype=np.uint64))
    knobs = [num_clusters, num_iterations, seed]
    return json.dumps([list(vectors.shape), str(vectors.dtype), *knobs, total])


def _store(path: Path, centroids: np.ndarray, objectives: list[float], run: str) -> None:
    save(centroids, path, objectives=objectives, metadata={"run": run})


def _resume(path: Path | None, run: str) -> tuple[np.ndarray | None, list[float]]:
    if path is None or not path.exists():
        return None, []
    with safe_open(path, framework="numpy") as file:
        if (file.metadata() or {}).get("run") != run:
            log.info("%s is a checkpoint of another run: starting anew", path)
            return None, []
        objectives = file.get_tensor("objectives").tolist()
        log.info("%s: resuming after iteration %d", path, len(objectives))
        return file.get_tensor("centroids"), objectives
