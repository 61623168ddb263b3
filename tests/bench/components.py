"""Measure connected components over edge files beside scipy and networkx, and its memory.

    python tests/bench/components.py time --nodes 1000000 --edges 3000000
    python tests/bench/components.py memory --nodes 10000000 --edges 30000000
    python tests/bench/components.py memory --nodes 100000000 --edges 300000000

Prints rows for RECORDS.md, medians [min, max] of n; `memory` runs once, in a process of its own.
"""

import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import networkx as nx
import numpy as np
import polars as pl
import scipy.sparse as sp
import tyro

from turns import resident_bytes, spread

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod import schema, streaming
from sauropod.dedup.components import Components, size_histogram, sizes
from sauropod.dedup.edge_files import EdgeFiles
from sauropod.io import commit

CHUNK = 1 << 20


def random_edges(nodes: int, edges: int) -> Iterable[np.ndarray]:
    """Chunks (2, m) int32 of a random graph, the same on every call."""
    rng = np.random.default_rng(0)
    for start in range(0, edges, CHUNK):
        yield rng.integers(0, nodes, (2, min(CHUNK, edges - start)), dtype=np.int32)


def stream(nodes: int, chunks: Iterable[np.ndarray]) -> np.ndarray:
    """Label the nodes from edges that come in chunks."""
    forest = Components(nodes)
    for left, right in chunks:
        forest.add(left, right)
    return forest.labels()


def by_scipy(nodes: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Label the nodes from all edges at once."""
    ones = np.ones(len(left), np.int8)
    graph = sp.coo_matrix((ones, (left, right)), (nodes, nodes))
    return sp.csgraph.connected_components(graph, directed=False)[1]


def by_networkx(left: np.ndarray, right: np.ndarray) -> int:
    """Count the components as networkx users would."""
    graph = nx.Graph()
    graph.add_edges_from(zip(left.tolist(), right.tolist(), strict=True))
    return sum(1 for _ in nx.connected_components(graph))


def seconds(work: Callable[[], object]) -> float:
    """Time one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_time(nodes: int, edges: int, repeats: int, networkx: bool) -> None:
    """Ours and the peers in turn, on edges in memory."""
    chunks = list(random_edges(nodes, edges))
    left, right = np.concatenate(chunks, axis=1)
    sides: dict[str, Callable[[], object]] = {"scipy": lambda: by_scipy(nodes, left, right)}
    if networkx:
        sides["networkx"] = lambda: by_networkx(left, right)
    found, truth = stream(nodes, chunks), by_scipy(nodes, left, right)
    both = len(np.unique(found.astype(np.int64) * nodes + truth))
    assert both == len(np.unique(found)) == truth.max() + 1, "not the same partition"
    times = [
        (seconds(lambda: stream(nodes, chunks)), *(seconds(side) for side in sides.values()))
        for _ in range(repeats)
    ]
    ours, *theirs = zip(*times, strict=True)
    name = f"components {nodes:,} nodes {edges:,} edges"
    print(f"| {name} | ours | {spread(ours, digits=2)} s | | n={repeats} |")
    for peer, taken in zip(sides, theirs, strict=True):
        ratios = [a / b for a, b in zip(taken, ours, strict=True)]
        cells = [name, peer, f"{spread(taken, digits=2)} s", f"{spread(ratios, digits=1)} of ours"]
        print(f"| {' | '.join(cells)} | n={repeats} |", flush=True)


def write_edges(nodes: int, edges: int, folder: Path) -> list[Path]:
    """Write EDGES files of at most 16 chunks, ids as they are in one collection of shards."""
    paths, chunks = [], list(range(0, edges, 16 * CHUNK))
    source = iter(random_edges(nodes, edges))
    for number in range(len(chunks)):
        frames = (_frame(chunk) for chunk, _ in zip(source, range(16), strict=False))
        paths.append(folder / f"{number}.parquet")
        streaming.write(frames, paths[-1], schema.EDGES, made_by={})
    return paths


def _frame(chunk: np.ndarray) -> pl.DataFrame:
    left, right = chunk.astype(np.uint64)
    similarity = np.full(len(left), 0.7, np.float32)
    return pl.DataFrame({"image_id": left, "neighbour_id": right, "similarity": similarity})


def measure_memory(nodes: int, edges: int) -> None:
    """Peak memory over edge files, above that of reading a chunk; time with reading."""
    with tempfile.TemporaryDirectory() as folder:
        files = EdgeFiles(write_edges(nodes, edges, Path(folder)))
        stream(CHUNK, (_ends(chunk) % CHUNK for chunk in EdgeFiles(files.paths[:1])))
        baseline = resident_bytes(peak=True)
        start = time.perf_counter()
        labels = stream(nodes, (_ends(chunk) for chunk in files))
        taken = time.perf_counter() - start
        histogram = size_histogram(sizes(labels))
    above = (resident_bytes(peak=True) - baseline) / nodes
    cells = [f"components {nodes:,} nodes {edges:,} edges from Parquet", f"{taken:.1f} s"]
    cells += [f"{above:.1f} B/node above {baseline / 2**20:.0f} MiB"]
    cells += [f"{sum(histogram.values()):,} components, largest {max(histogram):,}", "n=1"]
    print(f"| {' | '.join(cells)} |", flush=True)


def _ends(chunk: pl.DataFrame) -> np.ndarray:
    return np.stack([chunk[name].to_numpy().astype(np.int64) for name in chunk.columns[:2]])


def main(
    what: tyro.conf.Positional[Literal["time", "memory"]],
    nodes: int = 1_000_000,
    edges: int = 3_000_000,
    repeats: int = 5,
    networkx: bool = True,
) -> None:
    """Measure.

    Args:
        what: Time beside the peers, or memory of ours.
        nodes: Nodes of the graph.
        edges: Edges of the graph.
        repeats: Turns of `time`.
        networkx: Let networkx take part in `time`.
    """
    print(f"commit {commit()}; {platform.machine()}, {platform.python_version()}", flush=True)
    if what == "time":
        measure_time(nodes, edges, repeats, networkx)
    else:
        measure_memory(nodes, edges)


if __name__ == "__main__":
    tyro.cli(main)
