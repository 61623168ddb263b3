"""Measure k-means beside faiss.Kmeans from the same first centroids, in turn.

OMP_NUM_THREADS=1 python tests/bench/kmeans.py               # K 1000 and 2000, one and two levels
OMP_NUM_THREADS=2 python tests/bench/kmeans.py --threads 2
OMP_NUM_THREADS=1 python tests/bench/kmeans.py --ranks 2     # ours on two processes, Faiss on one

Prints rows for RECORDS.md: median [min, max] of the seeds. Both get the same vectors, centroids,
iterations and threads. Times are of the processors of all ranks, so that other work on the machine
counts as little as it can; the wall-clock ratio stands beside them.
"""

import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import faiss
import numpy as np
import torch
import torch.multiprocessing as mp
import tyro

from turns import spread

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.io import commit
from sauropod.retrieve import kmeans
from sauropod.train.sharding import Ranks, joined

NUM_MODES = 2000


def vectors(count: int, width: int) -> np.ndarray:
    """Unit vectors (n, d) float16 around modes of very different weights."""
    rng = np.random.default_rng(0)
    modes = rng.standard_normal((NUM_MODES, width), dtype=np.float32)
    weights = rng.dirichlet(np.ones(NUM_MODES))
    found = modes[rng.choice(NUM_MODES, count, p=weights)]
    found += 2 * rng.standard_normal(found.shape, dtype=np.float32)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def processor_seconds() -> float:
    """Of this process and the children it has waited for."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float, float]:
    """Run once; returns centroids, processor seconds and seconds."""
    start = processor_seconds(), time.perf_counter()
    found = work()
    return found, processor_seconds() - start[0], time.perf_counter() - start[1]


def _rank(rank: int, ranks: int, port: int, points: np.ndarray, given: dict, out: str) -> None:
    torch.set_num_threads(1)
    place = Ranks(rank=rank, world_size=ranks, local_rank=rank, port=port)
    with joined(place, torch.device("cpu")):
        means, _ = kmeans.fit(points, **given)
    if rank == 0:
        np.save(out, means)


def on_ranks(points: np.ndarray, ranks: int, given: dict) -> np.ndarray:
    """Fit on several processes."""
    with socket.socket() as free, TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port, out = free.getsockname()[1], f"{folder}/means.npy"
        free.close()
        arguments = (ranks, port, points, given, out)
        mp.start_processes(_rank, args=arguments, nprocs=ranks, start_method="fork")
        return np.load(out)


def beside(points: np.ndarray, given: dict, *, seeds: int, levels: int, ranks: int) -> None:
    """Fit by both, seed by seed, and print times and objectives."""
    wide, rows = points.astype(np.float32), []
    count, iterations = given["num_clusters"], given["num_iterations"]
    fit = kmeans.fit_two_level if levels == 2 else kmeans.fit
    for seed in range(seeds):
        start, _ = kmeans.fit(points, num_clusters=count, num_iterations=0, seed=seed)
        options = {**given, "seed": seed}

        def theirs(start: np.ndarray = start, seed: int = seed) -> np.ndarray:
            peer = faiss.Kmeans(
                points.shape[1], count, niter=iterations, seed=seed, max_points_per_centroid=10**9
            )
            peer.train(wide, init_centroids=start)
            return peer.centroids

        def ours(options: dict = options) -> np.ndarray:
            return on_ranks(points, ranks, options) if ranks > 1 else fit(points, **options)[0]

        mine, my_time, my_wall = timed(ours)
        peers, peer_time, peer_wall = timed(theirs)
        costs = [kmeans.assign(points, found)[1].sum(dtype=np.float64) for found in (mine, peers)]
        worse = 100 * (costs[0] / costs[1] - 1)
        rows.append((my_time, peer_time, my_time / peer_time, my_wall / peer_wall, worse))
    mine, peers, ratio, wall, worse = ([*column] for column in zip(*rows, strict=True))
    name = f"k-means {len(points):,} x {points.shape[1]}, K={count}, {iterations} iterations"
    name += ", two levels" if levels == 2 else ""
    name += f", {ranks} ranks" if ranks > 1 else ""
    cells = [name, f"{spread(mine, digits=1)} s", f"faiss.Kmeans {spread(peers, digits=1)} s"]
    cells += [
        f"{spread(ratio, digits=2)} of its time",
        f"{spread(wall, digits=2)} of its wall time",
    ]
    cells += [f"objective {spread(worse, digits=3)} % above", f"n={seeds}"]
    print(f"| {' | '.join(cells)} |", flush=True)


def main(
    num_vectors: int = 200_000,
    width: int = 128,
    iterations: int = 20,
    clusters: tuple[int, ...] = (1000, 2000),
    levels: tuple[int, ...] = (1, 2),
    seeds: int = 3,
    threads: int = 1,
    ranks: int = 1,
) -> None:
    """Measure.

    Args:
        num_vectors: How many are clustered.
        width: Of a vector.
        iterations: Iterations of both.
        clusters: Numbers of clusters, one row each.
        levels: 1 is `kmeans.fit`, 2 is `kmeans.fit_two_level` beside Faiss on one level.
        seeds: Repeats, each with other first centroids.
        threads: Of both; set OMP_NUM_THREADS to the same.
        ranks: Processes of ours, each of one thread.
    """
    faiss.omp_set_num_threads(threads)
    torch.set_num_threads(threads)
    print(f"commit {commit()}; faiss {faiss.__version__}; {threads} threads", flush=True)
    points = vectors(num_vectors, width)
    for level in levels if ranks == 1 else (1,):
        for count in clusters:
            given = {"num_clusters": count, "num_iterations": iterations}
            beside(points, given, seeds=seeds, levels=level, ranks=ranks)


if __name__ == "__main__":
    tyro.cli(main)
