"""Connected components of a graph whose edges arrive in chunks: a streaming union-find in numpy.

Nodes are positions 0..n-1 of a sorted id array; memory is 8 bytes a node for the ids plus 4 (8
above 2**31 nodes) for the forest, whatever the number of edges. The result does not depend on the
order of the edges.
Shapes: n nodes, m edges of a chunk.
"""

import numpy as np


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
            apart = left != right
            left, right = left[apart], right[apart]
            if left.size == 0:
                return
            high, low = np.maximum(left, right), np.minimum(left, right)
            # Several edges may hook the same root: the smallest wins now, the others in the next
            # round.
            np.minimum.at(self.parent, high, low)
            left, right = self._roots(high), self._roots(low)

    def labels(self) -> np.ndarray:
        """The smallest node of each node's component, (n,) integers."""
        while True:
            grand = self.parent[self.parent]
            if np.array_equal(grand, self.parent):
                return self.parent.copy()
            self.parent = grand

    def _roots(self, nodes: np.ndarray) -> np.ndarray:
        """Find the root of each node; every step halves what remains of the path."""
        roots = nodes
        while True:
            above = self.parent[roots]
            grand = self.parent[above]
            if np.array_equal(above, grand):
                self.parent[nodes] = grand
                return grand
            self.parent[roots] = grand
            roots = grand


def size_histogram(labels: np.ndarray) -> dict[int, int]:
    """How many components there are of each size: {size: count}, smallest size first."""
    _, sizes = np.unique(labels, return_counts=True)
    values, counts = np.unique(sizes, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
