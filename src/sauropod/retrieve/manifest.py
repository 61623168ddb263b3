"""The training set as a table: where each image's bytes are, where it came from, why it is here.

Rows are sorted by content (sha256, source, dataset, similarity), so that a manifest is the same
however the images were sharded: everything but the place columns (image_id, tar, offset, query_id)
and, for images of equal bytes, the choice among their places. Nothing is ever whole in memory:
rows are parted by sha256 into scratch files and sorted part by part (`scatter.PART_ROWS`).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from sauropod import schema, streaming
from sauropod.dedup.pool import ROW_BITS, Pool
from sauropod.errors import InputError
from sauropod.retrieve.draw import content_key, draw_keys
from sauropod.retrieve.places import usable
from sauropod.retrieve.recipe import WHERE, Row, parse_all
from sauropod.scatter import PART_ROWS, Parts
from sauropod.schema import COPIES, IMAGES, MANIFEST, NEIGHBOURS, summary

PLACE = ("image_id", "tar", "offset", "num_bytes", "url", "sha256")
ORDER = ("sha256", "source", "query_dataset", "similarity", "cluster", "query_id", "image_id")
FALLING = (False, False, False, True, False, False, False)
BIN_BITS = np.uint64(48)
"""Keys are counted in 2^16 bins by their leading bits: one bin is sorted to cut a draw exactly."""


class Assembly:
    """Rows on their way to a manifest."""

    def __init__(self, scratch: Path, *, at_most: int, once: bool = False) -> None:
        """Prepare for `at_most` rows or a few more.

        With `once` one row is kept for each sha256: as_is before sample before cluster, then the
        most similar.
        """
        scratch.mkdir(parents=True)
        self._once = once
        self._num_parts = 1 + at_most // PART_ROWS
        self._parts = Parts(scratch, self._num_parts)
        self.added = 0
        """Rows so far."""
        self.kept = 0
        """Rows that `frames` has yielded."""
        self.distinct = 0
        """Distinct images among them."""

    def add(self, rows: pl.DataFrame, *, source: pl.Expr) -> None:
        """Add rows with columns PLACE and any of MANIFEST's; the others are null."""
        kinds = MANIFEST.columns
        rows = rows.with_columns(source=source)
        missing = [pl.lit(None).alias(name) for name in kinds if name not in rows.columns]
        rows = rows.with_columns(*missing)
        rows = rows.select(pl.col(name).cast(kind) for name, kind in kinds.items())
        part = (content_key(rows["sha256"]) >> np.uint64(32)) * np.uint64(self._num_parts)
        self._parts.add(rows, part >> np.uint64(32))
        self.added += rows.height

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield MANIFEST, sorted, a part at a time.

        Raises:
            InputError: an image twice for one reason.
        """
        for part in self._parts:
            rows = part.cast(dict(MANIFEST.columns))  # type: ignore[arg-type]
            rows = rows.sort(ORDER, descending=FALLING, nulls_last=True)
            if twice := rows.height - rows.select(MANIFEST.key).n_unique():
                fix = "name every file once, all from the same run"
                found, where = f"{twice} again", "--images"
                raise InputError(where, expected="every image once", found=found, fix=fix)
            if self._once:
                rows = rows.unique("sha256", keep="first", maintain_order=True)
            self.kept += rows.height
            self.distinct += rows["image_id"].n_unique()
            yield rows

    def summary(self, shard: str) -> pl.DataFrame:
        """SUMMARY after `frames`: rows kept, dropped for `once`; and images met again."""
        again = {"again": self.added - self.kept}
        met = {"collision": self.kept - self.distinct}
        return pl.concat(
            [
                summary("manifest", shard, kept=self.kept, dropped=again),
                summary("manifest_distinct", shard, kept=self.distinct, dropped=met),
            ]
        )


def assemble(
    texts: Sequence[str] | None,
    curated: Sequence[Path],
    pool: Sequence[Path],
    neighbours: Sequence[Path],
    *,
    multiplicity: Literal["keep", "once"],
    scratch: Path,
) -> Assembly:
    """Gather the manifest of a recipe.

    Memory: a part of the manifest, the neighbours of a few shards, a chunk of IMAGES.

    Args:
        texts: The recipe's rows; None takes every curated dataset as it is.
        curated: IMAGES of the curated sets.
        pool: IMAGES of the pool.
        neighbours: NEIGHBOURS of the recipe's retrieving rows.
        multiplicity: "keep" leaves an image that came several ways several times.
        scratch: Folder for all rows of the manifest and the neighbours.

    Raises:
        InputError: a mistake in the recipe, a dataset of it without a usable image, neighbours of
            another recipe or of another pool.
    """
    counts = _datasets(curated)
    if texts is None:
        texts = [f"{name}:as_is" for name in sorted(counts)]
    recipe = parse_all(texts, datasets=counts)
    whole = [row.dataset for row in recipe if row.mode == "as_is"]
    found = _Neighbours(neighbours, recipe, scratch / "neighbours")
    every = found.rows + sum(counts[name] for name in whole)
    assembly = Assembly(scratch / "parts", at_most=every, once=multiplicity == "once")
    for rows in usable(curated, [*PLACE, "source"], label="curated"):
        chosen = rows.filter(pl.col("source").is_in(whole))
        named = chosen.with_columns(query_dataset="source")
        assembly.add(named, source=pl.lit("as_is"))
    mode = pl.when(pl.col("cluster").is_null()).then(pl.lit("sample")).otherwise(pl.lit("cluster"))
    found.place(pool, assembly, source=mode)
    return assembly


def balanced(drawn: pl.DataFrame, pool: Sequence[Path], *, scratch: Path) -> Assembly:
    """Gather the manifest of NEIGHBOURS rows that `hierarchy.balanced` drew.

    Raises:
        InputError: an image that the pool does not hold.
    """
    found = _Neighbours([drawn], None, scratch / "neighbours")
    assembly = Assembly(scratch / "parts", at_most=drawn.height)
    found.place(pool, assembly, source=pl.lit("balanced"))
    return assembly


def _datasets(curated: Sequence[Path]) -> dict[str, int]:
    """Usable images of each curated dataset."""
    images = schema.scan(curated, IMAGES).filter(pl.col("status") == "ok")
    return dict(images.group_by("source").len().collect().iter_rows())


class _Neighbours:
    """NEIGHBOURS parted by the shard of their image, so that they are placed shard by shard."""

    def __init__(
        self,
        given: Sequence[Path] | Sequence[pl.DataFrame],
        recipe: list[Row] | None,
        scratch: Path,
    ) -> None:
        self._given = given
        counts, modes = self._count()
        if recipe is not None:
            _check_modes(modes, recipe)
        self.rows = sum(counts.values())
        self._shards = np.array(sorted(counts), np.uint64)
        ends = np.cumsum([counts[shard] for shard in sorted(counts)], dtype=np.int64)
        self._part = ends // PART_ROWS
        scratch.mkdir(parents=True)
        self._parts = Parts(scratch, 1 + self.rows // PART_ROWS)
        for rows in self._frames():
            shard = rows["image_id"].to_numpy() >> ROW_BITS
            self._parts.add(rows.drop("rank"), self._part[np.searchsorted(self._shards, shard)])

    def _frames(self) -> Iterator[pl.DataFrame]:
        for one in self._given:
            yield from [one] if isinstance(one, pl.DataFrame) else streaming.chunks(one, NEIGHBOURS)

    def _count(self) -> tuple[dict[int, int], set[tuple[str, str]]]:
        """Rows by shard of the image, and which datasets and modes there are."""
        counts: dict[int, int] = {}
        modes: set[tuple[str, str]] = set()
        for rows in self._frames():
            shard = rows["image_id"].to_numpy() >> ROW_BITS
            for number, count in zip(*np.unique(shard, return_counts=True), strict=True):
                counts[int(number)] = counts.get(int(number), 0) + int(count)
            kinds = rows.select("query_dataset", pl.col("cluster").is_null()).unique()
            modes |= {(name, "sample" if alone else "cluster") for name, alone in kinds.rows()}
        return counts, modes

    def place(self, pool: Sequence[Path], assembly: Assembly, *, source: pl.Expr) -> None:
        """Join with the images of the pool and add all rows to the assembly."""
        before, held, number = assembly.added, None, -1
        for images in usable(pool, PLACE, label="pool") if self.rows else ():
            for wanted in self._parts_of(images["image_id"].to_numpy() >> ROW_BITS):
                if wanted != number:
                    held, number = self._parts.read(wanted), wanted
                if held is not None:
                    assembly.add(held.join(images, on="image_id"), source=source)
        if placed := self.rows - (assembly.added - before):
            found = f"{abs(placed)} rows of other images" if placed > 0 else "images twice"
            fix = "give the files that were made for this recipe and of this pool"
            raise InputError(WHERE, expected="neighbours in the pool", found=found, fix=fix)

    def _parts_of(self, shards: np.ndarray) -> list[int]:
        at = np.flatnonzero(np.isin(self._shards, np.unique(shards)))
        return np.unique(self._part[at]).tolist()


def _check_modes(given: Iterable[tuple[str, str]], rows: list[Row]) -> None:
    wanted = {(row.dataset, row.mode) for row in rows}
    if others := set(given) - wanted:
        found = ", ".join(f"{name}:{mode}" for name, mode in sorted(others))
        fix = "give the files that retrieve.py wrote for this recipe and this pool"
        raise InputError(WHERE, expected="its own neighbours only", found=found, fix=fix)


class Uncurated:
    """The deduplicated pool, to draw from without regard to any curated set.

    Memory is 1 byte per image of the pool, and half a megabyte of counts.
    """

    def __init__(self, pool: Sequence[Path], copies: Path, *, seed: int) -> None:
        """Count the images of the pool that COPIES keeps.

        Raises:
            InputError: verdicts on images that the pool does not hold.
        """
        self._pool, self._seed = pool, seed
        chunks = streaming.chunks(copies, COPIES, columns=["image_id", "kept"])
        self._kept = Pool.of(rows.filter("kept")["image_id"].to_numpy() for rows in chunks)
        self._bins = np.zeros(1 << 16, np.int64)
        for _, bins in self._keyed(["image_id", "sha256"]):
            self._bins += np.bincount(bins, minlength=len(self._bins))
        self.images = int(self._bins.sum())
        """How many there are."""
        if self.images != (verdicts := int(self._kept.usable.sum())):
            found = f"{verdicts}, of which the pool has {self.images}"
            fix = "give COPIES and IMAGES of one run"
            raise InputError(copies, expected="verdicts on the pool", found=found, fix=fix)

    def _keyed(self, columns: Sequence[str]) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        """Rows with their `key`, and its bin."""
        for rows in usable(self._pool, columns, label="uncurated"):
            rows = rows.filter(pl.Series(self._kept.numbers(rows["image_id"].to_numpy()) >= 0))
            key = draw_keys(content_key(rows["sha256"]), seed=self._seed, purpose="uncurated")
            yield rows.with_columns(key=pl.Series(key)), (key >> BIN_BITS).astype(np.int64)

    def draw(self, size: int, *, scratch: Path) -> Assembly:
        """Gather a seeded sample of `size` images (all when there are fewer)."""
        assembly = Assembly(scratch, at_most=min(size, self.images))
        below = np.cumsum(self._bins) - self._bins
        last = int(np.searchsorted(below, size, side="left")) - 1
        edge = []
        for rows, bins in self._keyed(PLACE):
            assembly.add(rows.filter(pl.Series(bins < last)), source=pl.lit("uncurated"))
            # Copied: a filtered frame holds the strings of all rows that it came from.
            some = rows.filter(pl.Series(bins == last))
            edge.append(some.to_arrow(compat_level=pl.CompatLevel.oldest()))
        ordered = pl.DataFrame(pa.concat_tables(edge)).sort("key", "sha256", "url", "image_id")
        assembly.add(ordered.head(size - int(below[last])), source=pl.lit("uncurated"))
        return assembly


def check(rows: int, out: Path) -> None:
    """Stop before an empty training set is written.

    Raises:
        InputError: no row.
    """
    if not rows:
        fix = "check that the pool and the curated sets hold usable images"
        raise InputError(out, expected="at least one image", found="none", fix=fix)
