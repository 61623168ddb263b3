"""Measure search with exact re-ranking beside exhaustive search by faiss, in turn.

    OMP_NUM_THREADS=1 python tests/bench/search.py     # rows for RECORDS.md: median [min, max] of n

Near-duplicate-rich descriptors: unit vectors around modes, cosine 1 / (1 + noise^2) within a mode.
Times are of the processor, so that other work on the machine counts as little as it can.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import tyro

from turns import spread

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.io import commit
from sauropod.retrieve import exact, index, search
from sauropod.retrieve.vectors import Shard

WIDTH, COUNT = 256, 4


def vectors(number: int, *, modes: int, noise: float) -> np.ndarray:
    """Unit vectors (n, d) float16 around modes of very different weights."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((modes, WIDTH), dtype=np.float32)
    found = centres[rng.choice(modes, number, p=rng.dirichlet(np.ones(modes)))]
    found += noise * rng.standard_normal(found.shape, dtype=np.float32)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def timed(work: Callable[[], exact.Neighbours]) -> tuple[exact.Neighbours, float]:
    """Run once; returns what was found and processor seconds."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def block_of(
    stored: Shard, *, factory: str, sample: int, num_probes: int, count: int
) -> search.Block:
    """Train, fill and open a block; prints what that takes."""
    start = time.process_time()
    training = index.Training(sample=sample)
    built = index.train(stored[1][:sample], factory=factory, training=training)
    trained = time.process_time() - start
    index.fill(built, [stored])
    filled = time.process_time() - start - trained
    path = Path("bench.faiss")
    index.save(built, path)
    try:
        size = path.stat().st_size / len(stored[0])
        opened = index.load_to_search(path, num_probes=num_probes, count=count)
    finally:
        path.unlink()
    memory = size + 2 * WIDTH + 8
    print(f"| {factory}: trained {trained:.0f} s, filled {filled:.0f} s, {memory:.0f} B/vector |")
    return search.Block(ids=stored[0], vectors=stored[1], index=opened, origin=path)


def main(
    number: int = 1_000_000,
    queries: int = 2000,
    modes: int = 50_000,
    noise: float = 0.5,
    factory: str = "IVF4096,PQ64x4fs",
    num_probes: int = 160,
    over_fetch: int = 24,
    sample: int = 200_000,
    repeats: int = 3,
) -> None:
    """Measure recall of the four nearest, and speed.

    Args:
        number: Stored vectors.
        queries: Queries, none of them stored.
        modes: Modes the vectors lie around.
        noise: How far from them.
        factory: Faiss index.
        num_probes: Lists visited per query.
        over_fetch: Candidates per neighbour that are compared exactly.
        sample: Vectors the index is trained on.
        repeats: Turns.
    """
    print(f"commit {commit()}; faiss {faiss.__version__}", flush=True)
    every = vectors(number + queries, modes=modes, noise=noise)
    ids = np.arange(number + queries, dtype=np.uint64)
    stored, asked = (ids[:number], every[:number]), (ids[number:], every[number:])
    flat = faiss.IndexFlatL2(WIDTH)
    flat.add(index.unit(stored[1]))
    wide = index.unit(asked[1])
    wanted = {"num_probes": num_probes, "count": COUNT * over_fetch}
    block = block_of(stored, factory=factory, sample=sample, **wanted)
    times, recalls = [], []
    for _ in range(repeats):
        mine, seconds = timed(
            lambda: search.neighbours(block, asked, count=COUNT, over_fetch=over_fetch)
        )
        (_, truth), peer = timed(lambda: flat.search(wide, COUNT))
        times.append((queries / seconds, queries / peer, peer / seconds))
        hits, true = exact.recall(mine[0], truth)
        recalls.append(hits / true)
    ours, theirs, faster = (list(column) for column in zip(*times, strict=True))
    name = f"search {number:,} x {WIDTH}, {num_probes} probes, {over_fetch * COUNT} candidates"
    rates = f"{spread(ours, digits=0)} queries/s | faiss Flat {spread(theirs, digits=0)}"
    told = f"recall@{COUNT} {min(recalls):.4f} | {spread(faster, digits=1)}x | n={repeats}"
    print(f"| {name} | {rates} | {told} |")


if __name__ == "__main__":
    tyro.cli(main)
