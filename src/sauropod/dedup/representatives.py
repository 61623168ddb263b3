"""Who stands for a group of copies, by a total order, for any number of groups in one pass.

Members are parted by their group into scratch files and ranked part by part, so that memory is
bounded by a part (`scatter.PART_ROWS`) and IMAGES is read once. Shapes: n images of a chunk, m of
them members of groups.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from sauropod.errors import InputError
from sauropod.retrieve.draw import mix
from sauropod.scatter import PART_ROWS, Parts

COLUMNS = ("image_id", "width", "height", "num_bytes", "sha256", "url")
"""What of IMAGES decides."""
BETTER = ("source", "area", "num_bytes", "sha256", "url", "image_id")
"""The total order that chooses a representative: of the earliest source of the pool (what is
appended never takes the place of what is there), larger, heavier, the smallest of the rest."""
SOURCE_BITS = 48
"""An image id without so many bits is its collection and its source's position (shards.py)."""
FALLING = (False, True, True, False, False, False)

GroupOf = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Of (n,) uint64 ids says which are members, (n,) bool, and the group of those, (m,) integers."""


@dataclass(frozen=True, kw_only=True)
class Representatives:
    """The images of a pool, to choose among."""

    images: Iterable[pl.DataFrame]
    """Usable rows of IMAGES with at least COLUMNS, in chunks of any order."""
    scratch: Path
    """Folder for the members' rows; made and emptied here."""

    def choose(self, group_of: GroupOf, *, num_members: int) -> Iterator[pl.DataFrame]:
        """Yield `image_id` and `representative` of every member, whole groups at a time.

        Raises:
            InputError: other than `num_members` members among the images.
        """
        self.scratch.mkdir(parents=True)
        num_parts = 1 + num_members // PART_ROWS
        parts, met = Parts(self.scratch, num_parts), 0
        for rows in self.images:
            members, group = group_of(rows["image_id"].to_numpy())
            chosen = rows.select(COLUMNS).filter(pl.Series(members))
            parts.add(chosen.with_columns(group=pl.Series(group)), _part(group, num_parts))
            met += chosen.height
        if met != num_members:
            expected = "a row for every image of a group"
            fix = "give the IMAGES tables of all shards once, from the same run"
            where, found = "--images", f"{met} of {num_members}"
            raise InputError(where, expected=expected, found=found, fix=fix)
        for rows in parts:
            best = pl.col("image_id").first().over("group")
            yield _ranked(rows).select("image_id", representative=best)
        self.scratch.rmdir()


def _part(group: np.ndarray, num_parts: int) -> np.ndarray:
    """Which part each group is in, (m,) uint64."""
    return (mix(group.astype(np.uint64)) >> np.uint64(32)) * np.uint64(num_parts) >> np.uint64(32)


def _ranked(images: pl.DataFrame) -> pl.DataFrame:
    """Sort rows of IMAGES best first."""
    area = pl.col("width").cast(pl.UInt64) * pl.col("height")
    source = pl.col("image_id") // 2**SOURCE_BITS
    ordered = images.with_columns(area=area, source=source)
    return ordered.sort(BETTER, descending=FALLING, nulls_last=True)
