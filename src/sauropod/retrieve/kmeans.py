"""K-means of embeddings: Faiss assigns, numpy averages in float64, every iteration is resumable.

An iteration is a function of (centroids, vectors, seed, iteration number) only, so that stopping
and resuming gives the same bits as running through. Shapes: n vectors, d width, K clusters.
"""

import json
import logging
from pathlib import Path

import faiss
import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sauropod.errors import InputError
from sauropod.io import replacing
from sauropod.progress import track
from sauropod.retrieve.draw import vector_keys
from sauropod.retrieve.index import on_gpu
from sauropod.retrieve.vectors import StoredVectors
from sauropod.schema import CLUSTERS

log = logging.getLogger(__name__)

CHUNK = 65_536
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
        InputError: more clusters than vectors.
    """
    if not 0 < num_clusters <= len(vectors):
        where = "cluster.clusters"
        raise InputError(
            where,
            expected=f"1 to {len(vectors)}, the distinct embeddings of the sample",
            found=str(num_clusters),
            fix="lower clusters, or give a larger pool or sample",
        )
    run = _fingerprint(vectors, num_clusters, seed)
    centroids, objectives = _resume(checkpoint, run)
    if centroids is None or len(objectives) > num_iterations:
        objectives = []
        first = _generator(seed, 0).permutation(len(vectors))[:num_clusters]
        centroids = vectors[np.sort(first)].astype(np.float32)
    todo = range(len(objectives), num_iterations)
    for iteration in track(todo, total=len(todo), label="k-means", unit="iterations"):
        labels, distances = _search(vectors, centroids)
        objectives.append(float(distances.sum(dtype=np.float64)))
        centroids = _means(vectors, labels, centroids, _generator(seed, iteration + 1))
        if checkpoint is not None:
            _store(checkpoint, centroids, objectives, run)
    return centroids, objectives


def assign(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find each vector's nearest centroid.

    Returns:
        labels (n,) int64 and squared L2 distances (n,) float32, recomputed one by one so that
        they do not depend on batching.
    """
    labels, distances = _search(vectors, centroids)
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        apart = vectors[part].astype(np.float32) - centroids[labels[part]]
        distances[part] = np.einsum("nd,nd->n", apart, apart)
    return labels, distances


def _search(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centroids (n,) int64 and squared distances (n,) float32 as Faiss has them."""
    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    if on_gpu():
        index = faiss.index_cpu_to_all_gpus(index)
    labels = np.empty(len(vectors), np.int64)
    distances = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        wide = np.ascontiguousarray(vectors[part], dtype=np.float32)
        found, names = index.search(wide, 1)
        labels[part], distances[part] = names[:, 0], found[:, 0]
    return labels, distances


def assign_all(stored: StoredVectors, centroids: np.ndarray) -> pl.DataFrame:
    """Assign every stored vector to its nearest centroid; returns CLUSTERS in the files' order."""
    columns = dict(CLUSTERS.columns)
    frames = [pl.DataFrame(schema=columns)]
    for ids, vectors in stored:
        labels, distances = assign(vectors, centroids)
        rows = {"image_id": ids, "cluster": labels.astype(np.uint32), "distance": distances}
        frames.append(pl.DataFrame(rows, schema=columns))
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


def _means(
    vectors: np.ndarray, labels: np.ndarray, old: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Average each cluster's vectors; give an empty cluster half of a random full one."""
    sums = np.zeros(old.shape, np.float64)
    sizes = np.bincount(labels, minlength=len(old))
    for start in range(0, len(vectors), CHUNK):
        part = labels[start : start + CHUNK]
        order = np.argsort(part, kind="stable")
        names, first = np.unique(part[order], return_index=True)
        chunk = vectors[start : start + CHUNK][order]
        sums[names] += np.add.reduceat(chunk, first, axis=0, dtype=np.float64)
    means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], old)
    return _repair(means, sizes, generator).astype(np.float32)


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


def _fingerprint(vectors: np.ndarray, num_clusters: int, seed: int) -> str:
    """Tell one run from another: shape, type, K, seed and a sum over every vector's bytes."""
    halves = vectors if vectors.dtype == np.float16 else vectors.astype(np.float16)
    total = int(vector_keys(halves, seed=0, purpose="fingerprint").sum(dtype=np.uint64))
    return json.dumps([list(vectors.shape), str(vectors.dtype), num_clusters, seed, total])


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
