"""Nearest neighbours in a block of stored vectors: codes nominate, stored vectors decide.

A block is some consecutive shards of one source, small enough for memory, with the index of its
codes. All blocks share one trained quantiser, so that a query visits the same lists however the
pool is cut; a block proposes its own candidates, and what all blocks propose contains what one
block of everything would. Without codes (a small pool, or a factory "Flat") everything is compared.

Memory of a block: 2 d + 13 bytes a vector (its codes stay on disk where their layout allows).
Shapes: n stored vectors, q queries, d width, k neighbours, c candidates.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np

from sauropod.dedup.pool import ROW_BITS, Pool
from sauropod.errors import InputError
from sauropod.retrieve import index as codes
from sauropod.retrieve.exact import Neighbours, exact_nearest, nearest, nothing, similarities
from sauropod.retrieve.vectors import Shard, StoredVectors

BATCH = 16_384
"""Queries searched together."""


class Rows:
    """Which row of a block an image has.

    One look into a table of 5 bytes for every row its shards may have; a binary search of
    25 million ids takes many times as long.
    """

    def __init__(self, ids: np.ndarray) -> None:
        """Take the block's ids, (n,) uint64 ascending."""
        self._pool = Pool.of(np.split(ids, np.flatnonzero(np.diff(ids >> ROW_BITS)) + 1))
        self._row = np.cumsum(self._pool.usable, dtype=np.int32) - 1

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Rows of int64 ids of any shape, -1 for -1 and for those that are not in the block."""
        number = self._pool.numbers(ids.view(np.uint64).ravel()).reshape(ids.shape)
        return np.where(number < 0, -1, self._row[number])


@dataclass(frozen=True, kw_only=True)
class Block:
    """Ids (n,) uint64 ascending, vectors (n, d) float16, and the index `origin` holds of them."""

    ids: np.ndarray
    vectors: np.ndarray
    index: faiss.Index
    origin: Path

    @cached_property
    def rows(self) -> Rows:
        """Which row an image has; not made where everything is compared with everything."""
        return Rows(self.ids)

    @property
    def exact(self) -> bool:
        """Whether everything is compared with everything."""
        return codes.is_exact(self.index)


def open_block(
    path: Path, stored: StoredVectors, *, num_probes: int, count: int, over_fetch: int
) -> Block:
    """Read a block's vectors into memory and open its index.

    Args:
        path: The index.
        stored: The block's vectors.
        num_probes: Lists of the index that a query visits.
        count: Neighbours that will be wanted, at most.
        over_fetch: Candidates per neighbour.

    Raises:
        InputError: the index is not of these vectors.
    """
    ids, vectors = stored.load()
    most = (count + 1) * over_fetch
    index = codes.load_to_search(path, num_probes=num_probes, count=most)
    block = Block(ids=ids, vectors=vectors, index=index, origin=path)
    if not block.exact and block.index.ntotal != len(ids):
        raise _stale(path, f"{block.index.ntotal} images where the files have {len(ids)}")
    return block


def neighbours(
    block: Block,
    queries: Shard,
    *,
    count: int,
    over_fetch: int,
    above: float = -np.inf,
    itself: bool = False,
) -> Neighbours:
    """Find each query's nearest vectors of a block by exact cosine.

    Args:
        block: Where to look.
        queries: Ids and vectors.
        count: Neighbours wanted.
        over_fetch: Candidates per neighbour that the codes propose; an exact block needs none.
        above: Cosines up to here need not be found.
        itself: Whether a query that is in the block may find itself.

    Raises:
        InputError: the queries have another width, or the index is not of the block's vectors.
    """
    ids, vectors = queries
    if not len(ids) or not len(block.ids):
        return nothing(len(ids))
    _check_width(block, vectors.shape[1])
    but = None if itself else ids
    if block.exact:
        stored = (block.ids, block.vectors)
        return exact_nearest(vectors, stored, count=count, but=but, above=above)
    wanted = (count + (not itself)) * over_fetch
    found = []
    for start in range(0, len(ids), BATCH):
        some = vectors[start : start + BATCH]
        proposed = codes.candidates(block.index, some, count=wanted)
        cosines = similarities(some, _rows(block, proposed), block.vectors)
        mine = None if itself else ids[start : start + BATCH]
        found.append(nearest(proposed, cosines, count=count, but=mine))
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])


def true_neighbours(
    block: Block, queries: Shard, *, count: int, itself: bool = False
) -> Neighbours:
    """What `neighbours` would find if codes were perfect; the oracle of the recall audit."""
    but = None if itself else queries[0]
    return exact_nearest(queries[1], (block.ids, block.vectors), count=count, but=but)


def _rows(block: Block, proposed: np.ndarray) -> np.ndarray:
    """Rows of the block's vectors for (q, c) ids, -1 for -1."""
    at = block.rows(proposed)
    missing = (at < 0) & (proposed >= 0)
    if missing.any():
        raise _stale(block.origin, f"{missing.sum()} candidates with no stored vector")
    return at


def _check_width(block: Block, width: int) -> None:
    for found in (block.index.d, block.vectors.shape[1]):
        if found != width:
            raise InputError(
                block.origin,
                expected=f"{width} dimensions as the queries have",
                found=str(found),
                fix="compute the vectors of both sides with the same weights",
            )


def _stale(path: Path, found: str) -> InputError:
    fix = "remove it and run again"
    return InputError(path, expected="an index of the given vector files", found=found, fix=fix)
