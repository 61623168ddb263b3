"""Which vectors are nearest to which centroid, from one iteration of k-means to the next.

Only what may have changed is searched. A centroid that did not move is no nearer to a vector than
its nearest was: vectors are compared with the centroids that moved, and with the others only when
their own moved away. Never more work than comparing all, soon much less, and the same labels.
Shapes: n vectors, d width, K clusters, b vectors of a chunk.
"""

from collections.abc import Iterator

import faiss
import numpy as np
import torch
import torch.distributed as dist

from sauropod.retrieve.index import on_gpu, to_gpus

CHUNK = 4096
ROWS = 256
"""Vectors compared together: few, so that what is compared stays in the cache."""
LEAST_STILL = 0.1
"""Share of centroids that did not move from which on it pays to search the others alone."""


class Members:
    """The cluster of every vector of this rank's share, and the clusters' sums.

    Sums of float16 are exact in float64 (see kmeans.py), so that a vector that changes cluster is
    taken from one and added to another. Vectors of float32 are added up anew each time.
    """

    def __init__(self, vectors: np.ndarray, num_clusters: int) -> None:
        """Begin without labels; (n, d) float16 or float32, the same on all ranks."""
        self._vectors = vectors
        self._centroids: np.ndarray | None = None
        self.labels = np.full(len(vectors), -1, np.int32)
        """(n,) cluster; -1 of what is another rank's."""
        self.distances = np.zeros(len(vectors), np.float32)
        """(n,) squared L2 distance to its centroid; 0 of what is another rank's."""
        self._sums = torch.zeros((num_clusters, vectors.shape[1]), dtype=torch.float64)
        self._sizes = torch.zeros(num_clusters, dtype=torch.int64)

    def restore(self, labels: np.ndarray, distances: np.ndarray, centroids: np.ndarray) -> None:
        """Go on from what `state` said of an assignment to these centroids."""
        for part in own(chunks(len(self._vectors))):
            self._move(part, chunk_of(self._vectors, part), labels[part])
            self.distances[part] = distances[part]
        self._centroids = centroids

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels and distances of all ranks; all of them call it."""
        if not dist.is_initialized():
            return self.labels, self.distances
        mine = torch.from_numpy(self.labels), torch.from_numpy(self.distances)
        labels, distances = (_over_ranks(tensor, dist.ReduceOp.MAX) for tensor in mine)
        return labels.numpy(), distances.numpy()

    def add_up(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Assign every vector to the nearest of (K, d) float32 centroids.

        Returns:
            Sums (K, d) float64 of the vectors of each, and how many (K,) int64, over all ranks.
        """
        if self._vectors.dtype != np.float16:  # rounding would depend on the way here
            self._centroids = None
            self.labels[:] = -1
            self._sums.zero_()
            self._sizes.zero_()
        moved = np.full(len(centroids), True)
        if self._centroids is not None:
            moved = (centroids != self._centroids).any(axis=1)
        if np.mean(~moved) < LEAST_STILL:
            moved[:] = True
        search = _Search(centroids, moved)
        for part in own(chunks(len(self._vectors))):
            chunk = chunk_of(self._vectors, part)
            labels, nearest = search(chunk, self.labels[part], self.distances[part])
            self.distances[part] = nearest
            self._move(part, chunk, labels)
        self._centroids = centroids
        if not dist.is_initialized():
            return self._sums.numpy(), self._sizes.numpy()
        sums, sizes = (_over_ranks(tensor) for tensor in (self._sums, self._sizes))
        return sums.numpy(), sizes.numpy()

    def _move(self, part: slice, chunk: torch.Tensor, labels: np.ndarray) -> None:
        moved = np.flatnonzero(labels != self.labels[part])
        left, came = self.labels[part][moved].astype(np.int64), labels[moved].astype(np.int64)
        self.labels[part][moved] = came
        rows = chunk[torch.from_numpy(moved)].double()
        self._count(came, rows, 1)
        if (left >= 0).all():  # a chunk has labels or none
            self._count(left, rows, -1)

    def _count(self, labels: np.ndarray, rows: torch.Tensor, sign: int) -> None:
        at = torch.from_numpy(labels)
        self._sums.index_add_(0, at, rows, alpha=sign)
        self._sizes += sign * torch.bincount(at, minlength=len(self._sizes))


def _over_ranks(
    tensor: torch.Tensor, op: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM
) -> torch.Tensor:
    """Reduce over all ranks, where their group can: NCCL, on this rank's GPU. A new tensor."""
    place = "cuda" if dist.get_backend() == "nccl" else "cpu"
    reduced = tensor.to(place, copy=True)
    dist.all_reduce(reduced, op=op)
    return reduced.cpu()


class _Search:
    """Nearest of all centroids, given the nearest before some of them moved."""

    def __init__(self, centroids: np.ndarray, moved: np.ndarray) -> None:
        self._moved = moved
        self._parts = [
            (np.flatnonzero(those), Nearest(centroids[those])) for those in (moved, ~moved)
        ]

    def __call__(
        self, chunk: torch.Tensor, labels: np.ndarray, distances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels (b,) and squared distances (b,) from those before."""
        homeless = (labels < 0) | self._moved[labels]
        best = np.where(homeless, np.inf, distances)
        found = labels.copy()
        self._improve(chunk, np.arange(len(labels)), self._parts[0], found, best)
        # What did not move is at least as far as the nearest was.
        doubtful = np.flatnonzero(homeless & (best > distances))
        self._improve(chunk, doubtful, self._parts[1], found, best)
        return found, best

    @staticmethod
    def _improve(
        chunk: torch.Tensor,
        rows: np.ndarray,
        part: tuple[np.ndarray, "Nearest"],
        labels: np.ndarray,
        best: np.ndarray,
    ) -> None:
        names, nearest = part
        if not len(names) or not len(rows):
            return
        some = chunk if len(rows) == len(labels) else chunk[torch.from_numpy(rows)]
        at, distances = nearest(some)
        nearer = distances < best[rows]
        labels[rows[nearer]] = names[at[nearer]]
        best[rows[nearer]] = distances[nearer]


class Nearest:
    """The nearest of (K, d) float32 centroids: by Faiss on the GPUs where there are any.

    On a processor by products of a few rows, whose minimum is taken while they are in the cache.
    """

    def __init__(self, centroids: np.ndarray) -> None:
        """Keep them where they are searched."""
        self._index = faiss.IndexFlatL2(centroids.shape[1]) if on_gpu() else None
        if self._index is not None:
            self._index.add(centroids)
            self._index = to_gpus(self._index, gpus=_own_gpu())
        self._columns = torch.from_numpy(centroids).t()
        self._squares = (self._columns * self._columns).sum(0)
        self._scores = torch.empty((ROWS, len(centroids)))

    def __call__(self, vectors: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Positions (b,) int64 of those of (b, d) float32 vectors, and squared distances (b,)."""
        if self._index is not None:
            distances, at = self._index.search(vectors.numpy(), 1)
            return at[:, 0], distances[:, 0]
        at, distances = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), ROWS):
            rows = vectors[start : start + ROWS]
            scores = self._scores[: len(rows)]
            torch.addmm(self._squares, rows, self._columns, alpha=-2, out=scores)
            part = slice(start, start + len(rows))
            at[part] = scores.numpy().argmin(1)  # numpy's is three times as fast as Torch's
            distances[part] = scores.numpy()[np.arange(len(rows)), at[part]]
        distances += np.einsum("nd,nd->n", vectors.numpy(), vectors.numpy())
        return at, np.maximum(distances, 0)


def chunks(count: int) -> Iterator[slice]:
    """Cut n vectors into chunks."""
    return (slice(start, start + CHUNK) for start in range(0, count, CHUNK))


def own(parts: Iterator[slice]) -> Iterator[slice]:
    """This rank's chunks: whole ones, so that a chunk's labels are the same on any rank."""
    place, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    return (part for number, part in enumerate(parts) if number % size == place)


def _own_gpu() -> list[int] | None:
    """The GPU of a rank that shares the work; None where one process has them all."""
    shared = dist.is_initialized() and torch.cuda.is_available()
    return [torch.cuda.current_device()] if shared else None


def chunk_of(vectors: np.ndarray, part: slice) -> torch.Tensor:
    """(b, d) float32; Torch widens float16 four times as fast as numpy."""
    chunk = vectors[part]
    return torch.from_numpy(chunk if chunk.flags.writeable else chunk.copy()).float()
