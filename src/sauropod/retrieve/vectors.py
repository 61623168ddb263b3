"""Vector tables on disk as a re-readable series of shards: ids (n,) and float16 vectors (n, d)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sauropod import schema
from sauropod.errors import InputError
from sauropod.schema import Table

Shard = tuple[np.ndarray, np.ndarray]
"""Ids (n,) uint64 in ascending order and float16 vectors (n, d)."""


@dataclass(frozen=True)
class StoredVectors:
    """Files of DESCRIPTORS or EMBEDDINGS; iterating reads one file at a time, empty ones skipped.

    `without` are image ids (uint64) that are left out.
    """

    paths: Sequence[Path]
    table: Table
    without: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))

    def __iter__(self) -> Iterator[Shard]:
        """Yield every shard, in the order of the files, rows by ascending id.

        Raises:
            InputError: not a file of the table, or vectors of another width than before.
        """
        width = None
        for path in self.paths:
            ids, vectors = self.shard(path)
            if not len(ids):
                continue
            if width not in (None, vectors.shape[1]):
                raise InputError(
                    path,
                    expected=f"vectors of {width} dimensions",
                    found=str(vectors.shape[1]),
                    fix="compute all shards with the same weights",
                )
            width = vectors.shape[1]
            yield ids, vectors

    def shard(self, path: Path) -> Shard:
        """Read one file, rows by ascending id."""
        frame = schema.read(path, self.table).sort("image_id")
        ids = frame["image_id"].to_numpy()
        vectors = schema.vectors(frame, next(c for c in frame.columns if c != "image_id"))
        if self.without.size:
            kept = ~np.isin(ids, self.without)
            ids, vectors = ids[kept], vectors[kept]
        return ids, vectors

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the vectors of every shard, without ids."""
        for _, vectors in self:
            yield vectors
