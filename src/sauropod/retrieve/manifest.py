"""The training set as a table: where each image's bytes are, where it came from, why it is here.

Rows are sorted by content (sha256, source, dataset, similarity), so that a manifest is the same
however the images were sharded: everything but the place columns (image_id, tar, offset, query_id)
and, for images of equal bytes, the choice among their places.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sauropod.errors import InputError
from sauropod.retrieve.draw import content_keys, smallest
from sauropod.retrieve.recipe import WHERE, Row, parse_all
from sauropod.schema import MANIFEST, summary

PLACE = ("image_id", "tar", "offset", "num_bytes", "url", "sha256")
ORDER = ("sha256", "source", "query_dataset", "similarity", "cluster", "query_id", "image_id")
FALLING = (False, False, False, True, False, False, False)


def as_is(curated: pl.DataFrame, dataset: str) -> pl.DataFrame:
    """Rows for the images of one curated dataset themselves.

    Raises:
        InputError: the dataset has no usable image.
    """
    chosen = curated.filter(pl.col("source") == dataset)
    if chosen.is_empty():
        names = ", ".join(sorted(curated["source"].unique())) or "none"
        where = f"{WHERE}: {dataset}"
        raise InputError(
            where,
            expected="a curated dataset with at least one usable image",
            found=f"datasets {names}",
            fix="correct the name or ingest the dataset",
        )
    return _rows(chosen, source="as_is", dataset=dataset)


def retrieved(neighbours: pl.DataFrame, pool: pl.DataFrame, rows: list[Row]) -> pl.DataFrame:
    """Rows for images of the pool that NEIGHBOURS names, one per neighbour row.

    Raises:
        InputError: a neighbour that is not in the pool, or of a dataset and mode not in `rows`.
    """
    frame = neighbours.with_columns(
        mode=pl.when(pl.col("cluster").is_null())
        .then(pl.lit("sample"))
        .otherwise(pl.lit("cluster"))
    )
    wanted = {(row.dataset, row.mode) for row in rows}
    given = set(frame.select("query_dataset", "mode").unique().iter_rows())
    fix = "give the files that retrieve.py wrote for this recipe and this pool"
    if given - wanted:
        found = ", ".join(f"{name}:{mode}" for name, mode in sorted(given - wanted))
        raise InputError(WHERE, expected="its own neighbours only", found=found, fix=fix)
    places = pool.select(PLACE)
    placed = frame.join(places, on="image_id", how="inner")
    if placed.height != frame.height:
        found = f"{frame.height - placed.height} rows of other images"
        raise InputError(WHERE, expected="neighbours in the pool", found=found, fix=fix)
    return _manifest(placed.rename({"mode": "source"}))


def uncurated(pool: pl.DataFrame, *, size: int, seed: int) -> pl.DataFrame:
    """A seeded sample of `size` images of the deduplicated pool (all when there are fewer)."""
    ordered = pool.sort("sha256", "url", "image_id")
    keys = content_keys(ordered["sha256"], seed=seed, purpose="uncurated")
    return _rows(ordered[smallest(keys, size)], source="uncurated", dataset=None)


def assemble(
    texts: Sequence[str],
    curated: pl.DataFrame,
    pool: pl.DataFrame,
    neighbours: pl.DataFrame,
    *,
    multiplicity: str,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make the manifest of a recipe.

    Args:
        texts: The recipe's rows.
        curated: Usable IMAGES of the curated sets.
        pool: Usable IMAGES of the pool.
        neighbours: NEIGHBOURS of the recipe's retrieving rows.
        multiplicity: "keep" leaves an image that came several ways several times; "once" keeps
            one row for each sha256: as_is before sample before cluster, then the most similar.

    Returns:
        MANIFEST, sorted, and SUMMARY: rows kept, and dropped by `multiplicity`.
    """
    recipe = parse_all(texts, datasets=curated["source"].unique().to_list())
    parts = [as_is(curated, row.dataset) for row in recipe if row.mode == "as_is"]
    parts.append(retrieved(neighbours, pool, recipe))
    frame = pl.concat(parts).sort(ORDER, descending=FALLING, nulls_last=True)
    every = frame.height
    if multiplicity == "once":
        frame = frame.unique("sha256", keep="first", maintain_order=True)
    dropped = {"again": every - frame.height}
    return frame, summary("manifest", "lvd", kept=frame.height, dropped=dropped)


def every_curated(curated: pl.DataFrame) -> list[str]:
    """Recipe that takes every curated dataset as it is."""
    return [f"{name}:as_is" for name in sorted(curated["source"].unique())]


def kept_pool(pool: pl.DataFrame, copies: pl.DataFrame) -> pl.DataFrame:
    """Images of the pool that deduplication kept."""
    kept = copies.filter(pl.col("kept")).select("image_id")
    return pool.join(kept, on="image_id", how="semi")


def check(frame: pl.DataFrame, out: Path) -> None:
    """Stop before an empty training set is written.

    Raises:
        InputError: no row.
    """
    if frame.is_empty():
        fix = "check that the pool and the curated sets hold usable images"
        raise InputError(out, expected="at least one image", found="none", fix=fix)


def _rows(images: pl.DataFrame, *, source: str, dataset: str | None) -> pl.DataFrame:
    return _manifest(
        images.select(PLACE).with_columns(
            source=pl.lit(source),
            query_dataset=pl.lit(dataset, dtype=pl.String),
            query_id=pl.lit(None),
            similarity=pl.lit(None),
            cluster=pl.lit(None),
        )
    )


def _manifest(frame: pl.DataFrame) -> pl.DataFrame:
    columns = [pl.col(name).cast(kind) for name, kind in MANIFEST.columns.items()]
    return frame.select(columns)
