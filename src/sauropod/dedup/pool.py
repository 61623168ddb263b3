"""The pool's images as dense numbers, at one byte an image.

`image_id` = shard << 32 | row, so that an image's number is its shard's first number plus its row:
nothing is stored per image to translate. Shapes: n numbers, s shards, m ids.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import schema
from sauropod.errors import InputError

ROW_BITS = 32
ROW_MASK = 2**ROW_BITS - 1
SHARDS = "shards"
"""What the metadata of a table of several shards calls the names of their files."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Numbers 0..n-1 of the rows of the pool's shards, ascending as the ids are."""

    shards: np.ndarray
    """(s,) uint64 shard numbers, ascending."""
    first: np.ndarray
    """(s + 1,) int64 number of each shard's row 0, and n."""
    usable: np.ndarray
    """(n,) bool: the row is there, with status ok."""

    @classmethod
    def of(cls, ids: Iterable[np.ndarray]) -> "Pool":
        """Number the usable images, given in arrays of any order.

        Raises:
            InputError: an id comes twice.
        """
        rows: dict[int, np.ndarray] = {}
        for part in ids:
            for shard in np.unique(part >> ROW_BITS).tolist():
                mine = part[part >> ROW_BITS == shard] & ROW_MASK
                known = rows.get(shard, np.empty(0, np.int64))
                times = np.bincount(mine.astype(np.int64), minlength=len(known))
                times[: len(known)] += known
                _refuse_twice(times, shard)
                rows[shard] = times.astype(bool)
        shards = sorted(rows)
        first = np.cumsum([0, *(len(rows[shard]) for shard in shards)], dtype=np.int64)
        usable = np.concatenate([np.empty(0, bool), *(rows.pop(shard) for shard in shards)])
        return cls(shards=np.array(shards, np.uint64), first=first, usable=usable)

    @classmethod
    def read(cls, images: Sequence[Path]) -> "Pool":
        """Number the images of status ok of IMAGES files."""
        frames = (schema.read(path, schema.IMAGES, ["image_id", "status"]) for path in images)
        return cls.of(
            frame.filter(pl.col("status") == "ok")["image_id"].to_numpy() for frame in frames
        )

    def __len__(self) -> int:
        """How many numbers there are, of usable images and others."""
        return len(self.usable)

    def numbers(self, ids: np.ndarray) -> np.ndarray:
        """Numbers of (m,) uint64 ids: (m,) int64, -1 for what is no usable image of the pool."""
        if not len(self):
            return np.full(len(ids), -1)
        shard = ids >> ROW_BITS
        at = np.minimum(np.searchsorted(self.shards, shard), len(self.shards) - 1)
        number = self.first[at] + (ids & ROW_MASK).astype(np.int64)
        inside = (self.shards[at] == shard) & (number < self.first[at + 1])
        number[~inside] = -1
        number[inside] = np.where(self.usable[number[inside]], number[inside], -1)
        return number

    def ids(self, numbers: np.ndarray) -> np.ndarray:
        """Ids of (m,) numbers, uint64: the inverse of `numbers`."""
        at = np.searchsorted(self.first, numbers, side="right") - 1
        row = (numbers - self.first[at]).astype(np.uint64)
        return (self.shards[at] << ROW_BITS) | row


def names_of(paths: Iterable[Path]) -> str:
    """File names of shards as metadata spell them; stages share them."""
    return json.dumps([path.name for path in paths])


def every_shard(blocks: Sequence[Path], images: Sequence[Path], *, flag: str) -> None:
    """Check that each shard of the pool is in a block, by what the blocks' metadata say.

    Raises:
        InputError: the shards that are in none.
    """
    told = [pl.read_parquet_metadata(path).get(SHARDS, "[]") for path in blocks]
    named = {name for names in told for name in json.loads(names)}
    missing = sorted(path.name for path in images if path.name not in named)
    if missing:
        raise InputError(
            flag,
            expected="tables that have every shard of --images",
            found=f"none for {', '.join(missing[:5])}" + ", ..." * (len(missing) > 5),
            fix="give the tables of all blocks, and rerun those that are missing",
        )


def _refuse_twice(times: np.ndarray, shard: int) -> None:
    if times.size and times.max() > 1:
        where = "--images"
        raise InputError(
            where,
            expected="every image once",
            found=f"image {shard << ROW_BITS | int(times.argmax())} twice",
            fix="name every shard once, all from the same run",
        )
