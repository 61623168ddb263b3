"""Measure k-means beside faiss.Kmeans from the same first centroids, in turn.

OMP_NUM_THREADS=1 python tests/bench/kmeans.py     # rows for RECORDS.md: median [min, max] of n

Times are of the processor, so that other work on the machine counts as little as it can.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.io import commit
from sauropod.retrieve import kmeans

NUM_VECTORS, WIDTH, NUM_MODES, ITERATIONS, SEEDS = 200_000, 256, 2000, 10, 3


def vectors() -> np.ndarray:
    """Unit vectors (n, d) float16 around modes of very different weights."""
    rng = np.random.default_rng(0)
    modes = rng.standard_normal((NUM_MODES, WIDTH), dtype=np.float32)
    weights = rng.dirichlet(np.ones(NUM_MODES))
    found = modes[rng.choice(NUM_MODES, NUM_VECTORS, p=weights)]
    found += 2 * rng.standard_normal(found.shape, dtype=np.float32)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Run once; returns centroids and processor seconds."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def beside(points: np.ndarray, num_clusters: int, *, two_level: bool) -> None:
    """Fit by both, seed by seed, and print times and objectives."""
    wide = points.astype(np.float32)
    options = {"num_clusters": num_clusters, "num_iterations": ITERATIONS}
    work = kmeans.fit_two_level if two_level else kmeans.fit
    rows = []
    for seed in range(SEEDS):
        start, _ = kmeans.fit(points, num_clusters=num_clusters, num_iterations=0, seed=seed)

        def theirs(start: np.ndarray = start, seed: int = seed) -> np.ndarray:
            peer = faiss.Kmeans(
                WIDTH, num_clusters, niter=ITERATIONS, seed=seed, max_points_per_centroid=10**9
            )
            peer.train(wide, init_centroids=start)
            return peer.centroids

        mine, my_time = timed(lambda seed=seed: work(points, seed=seed, **options)[0])
        peers, peer_time = timed(theirs)
        costs = [kmeans.assign(points, found)[1].sum(dtype=np.float64) for found in (mine, peers)]
        rows.append((my_time, peer_time, my_time / peer_time, 100 * (costs[0] / costs[1] - 1)))
    mine, peers, ratio, worse = ([*column] for column in zip(*rows, strict=True))
    name = f"k-means {len(points):,} x {WIDTH}, K={num_clusters}, {ITERATIONS} iterations"
    name += ", two levels" if two_level else ""
    times = f"{statistics.median(mine):.1f} s | faiss.Kmeans {statistics.median(peers):.1f} s"
    spread = f"{statistics.median(ratio):.2f} [{min(ratio):.2f}, {max(ratio):.2f}] of its time"
    cost = f"{statistics.median(worse):+.3f} % [{min(worse):+.3f}, {max(worse):+.3f}]"
    print(f"| {name} | {times} | {spread} | objective {cost} | n={SEEDS} |", flush=True)


if __name__ == "__main__":
    print(f"commit {commit()}; faiss {faiss.__version__}", flush=True)
    shared = vectors()
    for count in (1000, 2000):
        beside(shared, count, two_level=False)
    beside(shared, 2000, two_level=True)
