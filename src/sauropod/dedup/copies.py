"""Near copies: every pair of images whose descriptors have an exact cosine above a threshold.

Source: DINOv2 section 3 and appendix A (64 nearest neighbours by cosine of SSCD descriptors).
A block of queries is searched in one block of the pool at a time (PAIRS); edges.py keeps each
query's nearest over all blocks. Shapes: q queries, d width, k neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from sauropod.dedup.edges import FALLING, ORDER
from sauropod.retrieve.draw import smallest, vector_keys
from sauropod.retrieve.exact import Neighbours
from sauropod.retrieve.search import Block, neighbours, true_neighbours
from sauropod.retrieve.vectors import Shard
from sauropod.schema import PAIRS

BATCH = 8192
"""Queries whose pairs are in memory together."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a block is searched: neighbours per query, candidates per neighbour, smallest cosine."""

    neighbours: int
    over_fetch: int
    threshold: float


def pairs(queries: Shard, block: Block, search: Search, *, complete: bool = False) -> pl.DataFrame:
    """Find each query's nearest neighbours above the threshold in a block.

    Args:
        queries: Ids and vectors of one shard.
        block: Where to look; a query that is in it does not find itself.
        search: `neighbours` most similar, cosine strictly above `threshold`.
        complete: Search on with twice the neighbours while the last one is above the threshold:
            a reference with more copies in the pool than `neighbours` must not leak any.

    Returns:
        PAIRS rows, one per query and neighbour, by query id and falling similarity, `true` null.
    """
    ids, vectors = queries
    found, similarities = _neighbours(queries, block, search, above=search.threshold)
    near = similarities > search.threshold
    more = complete and found.shape[1] == search.neighbours < len(block.ids)
    full = np.array([more and bool(row.all()) for row in near], dtype=bool)
    frame = _frame(ids, found, similarities, near & ~full[:, None])
    if not full.any():
        return frame
    wider = replace(search, neighbours=2 * search.neighbours)
    rest = pairs((ids[full], vectors[full]), block, wider, complete=True)
    return pl.concat([frame, rest]).sort(ORDER, descending=FALLING)


def blockwise(
    queries: Shard, block: Block, search: Search, *, complete: bool, audited: Shard
) -> Iterator[pl.DataFrame]:
    """Yield PAIRS of all queries, some queries at a time, then those of the audited ones."""
    ids, vectors = queries
    for start in range(0, len(ids), BATCH):
        part = slice(start, start + BATCH)
        yield pairs((ids[part], vectors[part]), block, search, complete=complete)
    yield audit(audited, block, search)


def sample(queries: Shard, *, size: int, seed: int) -> Shard:
    """Draw the queries that are also searched exactly, by their content."""
    ids, vectors = queries
    chosen = np.sort(smallest(vector_keys(vectors, seed=seed, purpose="audit"), size))
    return ids[chosen], vectors[chosen]


def audit(queries: Shard, block: Block, search: Search) -> pl.DataFrame:
    """Search some queries exactly too, whatever the cosine.

    Returns:
        PAIRS rows of what codes find and of what there is, with `true`.
    """
    ids, _ = queries
    found, similarities = _neighbours(queries, block, search)
    truth, cosines = true_neighbours(block, queries, count=search.neighbours)
    mine = _frame(ids, found, similarities, found >= 0).drop("true", "found")
    theirs = _frame(ids, truth, cosines, truth >= 0).drop("true", "found")
    both = mine.with_columns(found=pl.lit(True)).join(
        theirs.with_columns(true=pl.lit(True)),
        on=["image_id", "neighbour_id"],
        how="full",
        coalesce=True,
    )
    return both.select(
        "image_id",
        "neighbour_id",
        pl.coalesce("similarity", "similarity_right").alias("similarity"),
        pl.col("found", "true").fill_null(value=False),
    ).sort(ORDER, descending=FALLING)


def _neighbours(
    queries: Shard, block: Block, search: Search, *, above: float = -np.inf
) -> Neighbours:
    count, over_fetch = search.neighbours, search.over_fetch
    return neighbours(block, queries, count=count, over_fetch=over_fetch, above=above)


def _frame(
    ids: np.ndarray, found: np.ndarray, similarities: np.ndarray, kept: np.ndarray
) -> pl.DataFrame:
    rows, columns = np.nonzero(kept)
    frame = {
        "image_id": ids[rows],
        "neighbour_id": found[rows, columns].astype(np.uint64),
        "similarity": similarities[rows, columns],
        "found": np.ones(len(rows), bool),
        "true": pl.Series([None] * len(rows), dtype=pl.Boolean),
    }
    return pl.DataFrame(frame, schema=dict(PAIRS.columns))
