"""Connected components of a graph whose edges arrive in chunks: a streaming union-find in numpy.

Memory is 4 bytes a node (8 above 2**31 nodes) and a few copies of the chunk, whatever the number
of edges. The result depends neither on the order of the edges nor on how they are cut to chunks.
Shapes: n nodes, m edges of a chunk, c components.
"""

from collections.abc import Iterator

import numpy as np

BLOCK = 1 << 18
"""Nodes looked at together where all are: what is computed of them stays in the cache."""

FLATTEN_SHARE = 8
"""The whole forest is flattened when a chunk has hooked at least one edge per so many nodes: then
one pass in the order of memory is cheaper than to follow every path from where it starts."""


class Components:
    """A forest over n nodes in which a parent is never larger than its child.

    A root is therefore the smallest node of its tree, and when all edges are in, of its component.
    """

    def __init__(self, num_nodes: int) -> None:
        """Start with every node alone."""
        kind = np.int32 if num_nodes < 2**31 else np.int64
        self.parent = np.arange(num_nodes, dtype=kind)

    def add(self, left: np.ndarray, right: np.ndarray) -> None:
        """Join left[i] with right[i] for every i; (m,) integer arrays of nodes."""
        left, right = self._roots(left), self._roots(right)
        while True:
            apart = np.flatnonzero(left != right)
            if not apart.size:
                return
            left, right = left[apart], right[apart]
            high, low = np.maximum(left, right), np.minimum(left, right)
            # Several edges may hook the same root: the last wins, the others go on from there.
            self.parent[high] = low
            if apart.size * FLATTEN_SHARE > self.parent.size:
                self._flatten()
            left, right = self._roots(high), self._roots(low)

    def labels(self) -> np.ndarray:
        """The smallest node of each node's component: (n,) integers, the forest's own memory."""
        self._flatten()
        return self.parent

    def _flatten(self) -> None:
        # Parents are smaller, so that those in blocks before are roots or one step below them.
        for block in _blocks(self.parent.size):
            self.parent[block] = self._roots(self.parent[block])

    def _roots(self, nodes: np.ndarray) -> np.ndarray:
        """Find the root of each node; every step halves what remains of the path."""
        roots = nodes
        while True:
            above = self.parent[roots]
            grand = self.parent[above]
            if np.array_equal(above, grand):
                if roots is not nodes:
                    self.parent[nodes] = grand
                return grand
            self.parent[roots] = grand
            roots = grand


def sizes(labels: np.ndarray, *, among: np.ndarray | None = None) -> np.ndarray:
    """How many nodes have each label: (n,) int32 (int64 above 2**31 nodes), 0 where it is unused.

    Args:
        labels: (n,) integers of 0..n-1.
        among: (n,) bool; other nodes are not counted.
    """
    counts = np.zeros(labels.size, labels.dtype)
    for block in _blocks(labels.size):
        counted = labels[block] if among is None else labels[block][among[block]]
        np.add.at(counts, counted, 1)
    return counts


def size_histogram(counts: np.ndarray) -> dict[int, int]:
    """How many components there are of each size: {size: count}, smallest size first.

    Args:
        counts: (n,) what `sizes` says.
    """
    alone = int(np.count_nonzero(counts == 1))
    values, many = np.unique(counts[counts > 1], return_counts=True)
    shared = dict(zip(values.tolist(), many.tolist(), strict=True))
    return {1: alone, **shared} if alone else shared


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))
