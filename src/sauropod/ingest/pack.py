"""Validated images into a tar shard and an IMAGES table, in the order asked for."""

import hashlib
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import polars as pl

from sauropod import images, io, schema
from sauropod.config import Ingest

S = TypeVar("S")
T = TypeVar("T")

ENDINGS = {"jpeg": "jpg", "tiff": "tif"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of IMAGES before it has an id and a source."""

    url: str
    page_url: str | None = None
    domain: str | None = None
    status: str
    width: int | None = None
    height: int | None = None
    format: str | None = None
    num_bytes: int | None = None
    sha256: str | None = None
    tar: str | None = None
    offset: int | None = None
    fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What validation says of a file; width, height and format as far as they could be read."""

    status: str
    width: int | None = None
    height: int | None = None
    format: str | None = None
    sha256: str | None = None


def validate(data: bytes, *, knobs: Ingest) -> Facts:
    """Judge an image file: its size, its header, then every pixel.

    Width and height are pixels as stored; sha256 is of the file's bytes.
    """
    if len(data) > knobs.max_bytes:
        return Facts(status="too_large")
    try:
        width, height, kind = images.probe(data, max_pixels=knobs.max_pixels)
    except images.ImageError as error:
        return Facts(status=error.status)
    status = "ok"
    if min(width, height) < knobs.min_side:
        status = "too_small"
    else:
        try:
            images.decode(data, max_pixels=knobs.max_pixels)
        except images.ImageError as error:
            status = error.status
    digest = hashlib.sha256(data).hexdigest() if status == "ok" else None
    return Facts(status=status, width=width, height=height, format=kind, sha256=digest)


def frame(rows: Iterable[Row], *, source: str, number: int) -> pl.DataFrame:
    """Make the IMAGES table of shard `number`, rows as they come."""
    names = [name for name in schema.IMAGES.columns if name not in ("image_id", "source")]
    values = [tuple(getattr(row, name) for name in names) for row in rows]
    kinds = {name: schema.IMAGES.columns[name] for name in names}
    table = pl.DataFrame(values, schema=kinds, orient="row")
    ids = pl.Series("image_id", schema.image_ids(number, table.height), dtype=pl.UInt64)
    return table.with_columns(ids, pl.lit(source).alias("source")).select(
        list(schema.IMAGES.columns)
    )


def summary(images: pl.DataFrame, *, shard: str, dropped: Counter[str]) -> pl.DataFrame:
    """Count a shard's rows by status, beside what was left out before it had a row."""
    counts = dict(images["status"].cast(pl.String).value_counts().sort("status").iter_rows())
    kept = counts.pop("ok", 0)
    return schema.summary("ingest", shard, kept=kept, dropped=Counter(counts) + dropped)


def member_name(row: int, *, kind: str) -> str:
    """Name of a row's image inside its tar: eight digits and the usual ending."""
    return f"{row:08d}.{ENDINGS.get(kind, kind)}"


def ordered(
    function: Callable[[S], T], items: Iterable[S], *, num_threads: int
) -> Iterator[tuple[S, T]]:
    """Map in threads, results in order of the items, only a few items ahead."""
    with ThreadPoolExecutor(num_threads) as pool:
        left = iter(items)
        waiting: deque[tuple[S, Future[T]]] = deque()
        for item in itertools.islice(left, 2 * num_threads):
            waiting.append((item, pool.submit(function, item)))
        while waiting:
            item, future = waiting.popleft()
            yield item, future.result()
            waiting.extend(
                (more, pool.submit(function, more)) for more in itertools.islice(left, 1)
            )


def place(row: Row, data: bytes, *, tar: io.TarWriter, tar_path: Path, number: int) -> Row:
    """Append a row's bytes to the tar and return the row with its place."""
    assert row.format
    offset = tar.add(member_name(number, kind=row.format), data)
    values = {name: getattr(row, name) for name in Row.__slots__}
    values.update(tar=str(tar_path), offset=offset, num_bytes=len(data))
    return Row(**values)
