"""Near copies: every pair of images whose descriptors have an exact cosine above a threshold.

Source: DINOv2 section 3 and appendix A (64 nearest neighbours by cosine of SSCD descriptors).
Shapes: q queries, d width, k neighbours.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
import polars as pl

from sauropod.retrieve import index as nearest
from sauropod.retrieve.draw import smallest, vector_keys
from sauropod.retrieve.vectors import Shard, StoredVectors
from sauropod.schema import EDGES


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What is searched: an index, the file it came from and the vectors it was built of."""

    index: faiss.Index
    origin: Path
    stored: StoredVectors


@dataclass(frozen=True, kw_only=True)
class Search:
    """How it is searched: neighbours per query, candidates per neighbour, smallest cosine."""

    neighbours: int
    over_fetch: int
    threshold: float


def edges(
    queries: Shard, collection: Collection, search: Search, *, complete: bool = False
) -> pl.DataFrame:
    """Find each query's nearest neighbours above the threshold.

    Args:
        queries: Ids and vectors of one shard.
        collection: Where to look; a query that is in it does not find itself.
        search: `neighbours` most similar, cosine strictly above `threshold`.
        complete: Search on with twice the neighbours while the last one is above the threshold:
            a reference with more copies in the pool than `neighbours` must not leak any.

    Returns:
        EDGES rows, one per query and neighbour, by query id and falling similarity. A pair of
        near images is two rows when each is among the other's neighbours.
    """
    ids, vectors = queries
    found, similarities = _neighbours(ids, vectors, collection, search)
    near = similarities > search.threshold
    more = complete and search.neighbours < collection.index.ntotal
    full = np.array([more and bool(row.all()) for row in near], dtype=bool)
    rows, columns = np.nonzero(near & ~full[:, None])
    frame = pl.DataFrame(
        {
            "image_id": ids[rows],
            "neighbour_id": found[rows, columns].astype(np.uint64),
            "similarity": similarities[rows, columns],
        },
        schema=dict(EDGES.columns),
    )
    if not full.any():
        return frame
    wider = replace(search, neighbours=2 * search.neighbours)
    rest = edges((ids[full], vectors[full]), collection, wider, complete=True)
    order = ["image_id", "similarity", "neighbour_id"]
    return pl.concat([frame, rest]).sort(order, descending=[False, True, False])


def audit(
    queries: Shard, collection: Collection, search: Search, *, size: int, seed: int
) -> tuple[int, int]:
    """Compare with exhaustive search on a seeded sample of the queries.

    Returns:
        Edges found, and edges there are (both above the threshold, among the true neighbours).
    """
    ids, vectors = queries
    chosen = smallest(vector_keys(vectors, seed=seed, purpose="audit"), size)
    ids, vectors = ids[chosen], vectors[chosen]
    found, _ = _neighbours(ids, vectors, collection, search)
    truth, similarities = nearest.exact_nearest(
        vectors, collection.stored, count=search.neighbours, but=ids
    )
    return nearest.recall(found, np.where(similarities > search.threshold, truth, -1))


def _neighbours(
    ids: np.ndarray, vectors: np.ndarray, collection: Collection, search: Search
) -> tuple[np.ndarray, np.ndarray]:
    # One more than wanted: a query that is in the collection is its own nearest neighbour.
    count = (search.neighbours + 1) * search.over_fetch
    origin = collection.origin
    proposed = nearest.candidates(collection.index, vectors, count=count, origin=origin)
    similarities = nearest.exact_similarities(vectors, proposed, collection.stored, origin=origin)
    return nearest.nearest(proposed, similarities, count=search.neighbours, but=ids)
