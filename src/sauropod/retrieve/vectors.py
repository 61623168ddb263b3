"""Vector tables on disk as a re-readable series of shards: ids (n,) and float16 vectors (n, d)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import schema
from sauropod.errors import InputError
from sauropod.retrieve import kept
from sauropod.schema import Table

Shard = tuple[np.ndarray, np.ndarray]
"""Ids (n,) uint64 in ascending order and float16 vectors (n, d)."""

NORM_SLACK = 0.01
"""How far the length of a normalised vector may be from 1; float16 takes less than a tenth."""
CHUNK = 65_536


def is_unit(vectors: np.ndarray) -> np.ndarray:
    """Which of (n, d) vectors are of length 1: neither zero nor NaN nor infinite, (n,) bool."""
    found = np.empty(len(vectors), bool)
    for start in range(0, len(vectors), CHUNK):
        wide = vectors[start : start + CHUNK].astype(np.float32)
        lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        found[start : start + CHUNK] = np.abs(lengths - 1) < NORM_SLACK
    return found


@dataclass(frozen=True)
class StoredVectors:
    """Files of DESCRIPTORS or EMBEDDINGS; iterating reads one file at a time, empty ones skipped.

    `without` are image ids (uint64, ascending) that are left out, and so is what `copies`, COPIES
    of the pool, does not keep. `unit` leaves out what has not length 1 and counts it in `dropped`,
    a file as often as it is read.
    """

    paths: Sequence[Path]
    table: Table
    without: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    copies: Path | None = None
    unit: bool = False
    dropped: dict[Path, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Shard]:
        """Yield every shard, in the order of the files, rows by ascending id.

        Raises:
            InputError: not a file of the table, a damaged one, vectors of another width than
                before, or a kept image that has none.
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
        ids, vectors = _read(path, self.table)
        if len(ids):
            low, high = np.searchsorted(self.without, [ids[0], ids[-1] + np.uint64(1)])
            wanted = ~np.isin(ids, self.without[low:high])
            if self.copies is not None:
                wanted &= kept.rows_of(path, ids, copies=self.copies)
            if self.unit:
                good = is_unit(vectors)
                self.dropped[path] = int((wanted & ~good).sum())
                wanted &= good
            if not wanted.all():
                ids, vectors = ids[wanted], vectors[wanted]
        return ids, vectors

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the vectors of every shard, without ids."""
        for _, vectors in self:
            yield vectors

    def some(self, *, rows: int, seed: int) -> "StoredVectors":
        """As many of the files, drawn by the seed, as hold so many rows; all if that takes all."""
        order = np.random.default_rng(seed).permutation(len(self.paths))
        chosen, held = [], 0
        for position in order.tolist():
            if held >= rows:
                break
            chosen.append(position)
            held += self._rows(self.paths[position])
        return replace(self, paths=[self.paths[position] for position in sorted(chosen)])

    def _rows(self, path: Path) -> int:
        return schema.scan(path, self.table).select(pl.len()).collect().item()

    def load(self) -> Shard:
        """Read all files into one: ids and vectors in memory once, and one file beside them.

        Raises:
            InputError: as iterating does, or an image comes twice, or files are out of order.
        """
        room = sum(map(self._rows, self.paths))
        ids, vectors, filled = np.empty(room, np.uint64), np.empty((0, 1), np.float16), 0
        for some, values in self:
            if not filled:
                vectors = np.empty((room, values.shape[1]), np.float16)
            part = slice(filled, filled + len(some))
            ids[part], vectors[part] = some, values
            filled = part.stop
        ids, vectors = ids[:filled], vectors[:filled]
        again = np.flatnonzero(ids[1:] <= ids[:-1])
        if len(again):
            raise InputError(
                self.paths[0],
                expected="every image once, files in the order of their shards",
                found=f"image {ids[again[0] + 1]} twice or out of order",
                fix="name every shard once, all from the same run",
            )
        return ids, vectors


def _read(path: Path, table: Table) -> Shard:
    try:
        frame = schema.read(path, table).sort("image_id")
    except (pl.exceptions.PolarsError, OSError) as error:
        found = f"a damaged one ({str(error).splitlines()[0]})"
        fix = "rerun the stage that wrote it"
        raise InputError(path, expected=f"a table {table.name}", found=found, fix=fix) from error
    vectors = schema.vectors(frame, next(c for c in frame.columns if c != "image_id"))
    return frame["image_id"].to_numpy(), vectors
