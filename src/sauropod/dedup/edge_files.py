"""EDGES on disk as a re-readable series of chunks, and the references among their queries."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import schema, streaming
from sauropod.errors import InputError
from sauropod.shards import COLLECTIONS
from sauropod.shards import Collection as Name

COLLECTION_SHIFT = np.uint64(60)
"""The top 4 of an image id's 64 bits are its collection (see shards.py)."""
COSINE_SLACK = 1e-3
"""How far beyond 1 rounding may carry a cosine."""


class EdgeFiles:
    """Files of EDGES; iterating reads at most a million rows at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Check every file's schema.

        Raises:
            InputError: a file is missing or is no table EDGES.
        """
        for path in paths:
            schema.check(path, schema.EDGES)
        self.paths = paths

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield the edges of every file in chunks.

        Raises:
            InputError: a file is damaged, or a similarity in it is no cosine.
        """
        for path in self.paths:
            for edges in streaming.chunks(path, schema.EDGES):
                _check(edges, path)
                yield edges

    def references(self, collections: Collection[Name]) -> np.ndarray:
        """Ids of the queries that belong to some collections, ascending, uint64.

        A reference without an edge is not listed: it overlaps nothing.
        """
        found = [np.empty(0, np.uint64)]
        for edges in self:
            ids = edges["image_id"].unique().to_numpy()
            names = np.array(COLLECTIONS)[(ids >> COLLECTION_SHIFT).astype(np.int64)]
            found.append(ids[np.isin(names, list(collections))])
        return np.unique(np.concatenate(found))


def _check(edges: pl.DataFrame, path: Path) -> None:
    similarity = edges["similarity"].to_numpy()
    wrong = ~(np.abs(similarity) <= 1 + COSINE_SLACK)
    if wrong.any():
        fix = "check the descriptors and rerun link on this shard"
        found = f"{similarity[wrong][0]} in {wrong.sum()} rows"
        raise InputError(path, expected="cosines from -1 to 1", found=found, fix=fix)
