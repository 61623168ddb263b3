"""Measure curation kernels beside named peers, in turn, in the same minute.

python tests/bench/curation.py            # prints rows for RECORDS.md: median [min, max] of n
"""

import io
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imagehash
import networkx as nx
import numpy as np
import scipy.sparse as sp
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.dedup import hamming, pca_hash
from sauropod.dedup.components import Components
from sauropod.images import decode
from sauropod.io import commit

REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """Time one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def beside(name: str, ours: Callable[[], object], peer: Callable[[], object], of: str) -> None:
    """Run both in turn and print their medians and the ratio pair by pair."""
    pairs = [(seconds(ours), seconds(peer)) for _ in range(REPEATS)]
    mine, theirs = zip(*pairs, strict=True)
    ratios = [b / a for a, b in pairs]
    spread = f"{statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]"
    row = [name, f"{statistics.median(mine):.3f} s", f"{of} {statistics.median(theirs):.3f} s"]
    print(f"| {' | '.join([*row, spread, f'n={REPEATS}'])} |", flush=True)


def components(num_nodes: int, num_edges: int) -> None:
    """Connected components of a random graph, beside scipy and (small) networkx."""
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, num_nodes, (2, num_edges), dtype=np.int32)

    def ours() -> np.ndarray:
        forest = Components(num_nodes)
        for start in range(0, num_edges, 1 << 20):
            forest.add(left[start : start + (1 << 20)], right[start : start + (1 << 20)])
        return forest.labels()

    def scipy() -> np.ndarray:
        graph = sp.coo_matrix((np.ones(num_edges, np.int8), (left, right)), (num_nodes, num_nodes))
        return sp.csgraph.connected_components(graph, directed=False)[1]

    def networkx() -> int:
        graph = nx.Graph()
        graph.add_edges_from(zip(left.tolist(), right.tolist(), strict=True))
        return sum(1 for _ in nx.connected_components(graph))

    name = f"components {num_nodes:,} nodes {num_edges:,} edges"
    beside(name, ours, scipy, "scipy")
    if num_nodes <= 200_000:
        beside(name, ours, networkx, "networkx")


def hashes() -> None:
    """Pixel features of the PCA hash from JPEG bytes, beside imagehash.phash."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(200):
        small = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    fitted = pca_hash.fit(rng.normal(size=(2000, 1024)).astype(np.float32))

    def ours() -> None:
        rows = [pca_hash.pixel_features(decode(data, draft=32)) for data in files]
        pca_hash.project(np.stack(rows), fitted, origin=Path("bench"))

    def peer() -> None:
        for data in files:
            imagehash.phash(Image.open(io.BytesIO(data)))

    beside("PCA hash of 200 JPEGs 640x480 (pixels)", ours, peer, "imagehash.phash")


def join() -> None:
    """All pairs within 3 bits of 1 M hashes with 100,000 planted pairs (no peer ends in time)."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**64, 900_000, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (100_000, 3), dtype=np.uint64)
    planted = base[:100_000] ^ np.bitwise_or.reduce(flips, axis=1)
    every = np.concatenate([base, planted])
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = len(hamming.pairs_within(every, radius=3))
        times.append(time.perf_counter() - start)
    text = f"{statistics.median(times):.2f} s [{min(times):.2f}, {max(times):.2f}]"
    print(f"| Hamming join 1 M, radius 3 | {text} | {found:,} of 100,000 pairs | n={REPEATS} |")


if __name__ == "__main__":
    print(f"commit {commit()}; {platform.machine()}, {platform.python_version()}", flush=True)
    components(100_000, 300_000)
    components(1_000_000, 3_000_000)
    join()
    hashes()
