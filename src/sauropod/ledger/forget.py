"""Remove images from a run: their bytes, their rows, their places in every manifest and index.

Bytes are overwritten with zeros where they lie: the disk holds no second copy of a tar, every other
offset stays valid, and a tar with members of zeros is a legal tar. IMAGES and LINKS keep the row
with status `forgotten`, empty of what tells of the image; every other table loses it. A changed
file replaces the old one at once and keeps its time, so that Snakemake, which compares times, sees
nothing to do again: what was made before stays made.

Crash-safe by order: the ledger first, so that ingest refuses; then the list of what was found,
which is removed last; a second run starts from that list and finishes.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl

from sauropod import io, schema
from sauropod.dedup import parts
from sauropod.errors import InputError
from sauropod.ledger import refusals
from sauropod.ledger.catalogue import FOLDER, Catalogue
from sauropod.ledger.requests import Requests
from sauropod.progress import track
from sauropod.schema import Table

FOUND = {
    name: schema.IMAGES.columns[name] for name in ("image_id", "url", "sha256", *refusals.PLACE)
}
LOST = (
    schema.SCREENED,
    schema.PCA_HASHES,
    schema.DUPLICATES,
    schema.DESCRIPTORS,
    schema.PAIRS,
    schema.EDGES,
    schema.COPIES,
    schema.EMBEDDINGS,
    schema.CLUSTERS,
    schema.NEIGHBOURS,
    schema.MANIFEST,
)
"""Tables that lose the rows of a forgotten image."""
SHARD_BITS = 32
COUNT, BEFORE = "forgotten", "sha256_before"
"""Metadata of a changed file: rows forgotten in all, and (manifests) what it was before."""


@dataclass
class Done:
    """What was, or would be, forgotten."""

    images: int = 0
    num_bytes: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    """File, from the results folder -> rows that lost their image."""

    def told(self, *, dry_run: bool) -> str:
        """Spell it: a line in all, then one per file."""
        word = "would forget" if dry_run else "forgot"
        lines = [f"{word} {self.images:,} images, {self.num_bytes:,} bytes"]
        lines += [f"  {rows:,} rows of {name}" for name, rows in self.rows.items()]
        return "\n".join(lines) + "\n"


def find(tables: Catalogue, requests: Requests) -> pl.DataFrame:
    """Find every row of IMAGES to be forgotten, those of an interrupted run among them.

    Returns:
        image_id, url, sha256, tar, offset and num_bytes; one row per image and place.

    Raises:
        InputError: a tar holds other bytes at an image's place than its table says.
    """
    files = tables.files(schema.IMAGES)
    wanted = requests.match(with_bytes=True)
    begun = _unfinished(tables.results)
    parts = [
        schema.scan(path, schema.IMAGES).filter(wanted).select(list(FOUND)).collect()
        for path in track(files, total=len(files), label="find", unit="shards")
    ]
    found = pl.concat([begun, *parts])
    # The bytes asked for may be those before screening: what became of them has another SHA-256.
    ids = found["image_id"].unique()
    every = [found]
    for path in tables.files(schema.IMAGES, shards=_shards(ids)):
        rows = schema.scan(path, schema.IMAGES).filter(pl.col("image_id").is_in(ids.implode()))
        every.append(rows.filter(pl.col("status") != "forgotten").select(list(FOUND)).collect())
    found = pl.concat(every).unique(["image_id", "tar", "offset"]).sort("image_id", "tar", "offset")
    for row in placed(found.join(begun, on=["image_id", "tar", "offset"], how="anti")):
        _check_bytes(tables, row)  # what an interrupted run began was checked then
    return found


def count(tables: Catalogue, found: pl.DataFrame, requests: Requests) -> Done:
    """Say what `apply` would do."""
    done = _done(found)
    for path, table, doomed in _changes(tables, found, requests):
        done.rows[_name(tables, path)] = _hits(path, table, doomed)
    done.rows = {name: rows for name, rows in done.rows.items() if rows}
    return done


def apply(tables: Catalogue, found: pl.DataFrame, requests: Requests, *, at: datetime) -> Done:
    """Forget what was found; run again after a crash, it finishes."""
    results, made_by = tables.results, io.stamp("forget", knobs={}, inputs=[])
    refusals.record(refusals.ledger_of(results), requests.words(), at=at, made_by=made_by)
    with io.replacing(_list_of(results)) as temporary:
        found.write_parquet(temporary)
    done = _done(found)
    for row in placed(found):
        _overwrite(tables, row)
    # Before DUPLICATES lose their rows: they say who is a duplicate, after a crash too.
    _tell_parts(tables, found["image_id"].unique())
    for path, table, doomed in _changes(tables, found, requests):
        if rows := _hits(path, table, doomed):
            _rewrite(path, table, doomed, rows=rows)
            done.rows[_name(tables, path)] = rows
    _remove_from_indexes(tables, found["image_id"].unique())
    _summarise(tables, [path for path, _, _ in _changes(tables, found, requests)], made_by)
    _list_of(results).unlink()
    return done


def _list_of(results: Path) -> Path:
    return results / FOLDER / "unfinished.parquet"


def _unfinished(results: Path) -> pl.DataFrame:
    path = _list_of(results)
    return pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=FOUND)


def _shards(ids: pl.Series) -> set[int]:
    return {int(i) >> SHARD_BITS for i in ids}


def _done(found: pl.DataFrame) -> Done:
    return Done(found["image_id"].n_unique(), sum(row["num_bytes"] for row in placed(found)))


def _name(tables: Catalogue, path: Path) -> str:
    return str(path.relative_to(tables.results))


def placed(found: pl.DataFrame) -> list[dict]:
    """Rows of `find` with a place of their bytes."""
    return found.filter(pl.col("tar").is_not_null()).rows(named=True)


def _check_bytes(tables: Catalogue, row: dict) -> None:
    tar = tables.place(row["tar"])
    if not tar.exists():
        return  # bytes before screening are not kept
    data = io.read_range(tar, offset=row["offset"], num_bytes=row["num_bytes"])
    if any(data) and hashlib.sha256(data).hexdigest() != row["sha256"]:
        expected = f"the image of sha256 {row['sha256'][:12]} at byte {row['offset']}"
        fix = "put the tar back that its table was written with"
        raise InputError(tar, expected=expected, found="other bytes", fix=fix)


def _overwrite(tables: Catalogue, row: dict) -> None:
    """Put zeros over an image, and over the sidecars that share its name in the user's own tars."""
    tar = tables.place(row["tar"])
    if not tar.exists():
        return
    places = [(row["offset"], row["num_bytes"])]
    if not tar.resolve().is_relative_to(tables.results.resolve()):
        places = _with_sidecars(tar, row["offset"])
    refusals.overwrite(tar, places)


def _with_sidecars(tar: Path, offset: int) -> list[tuple[int, int]]:
    members = list(io.tar_members(tar))
    stem = next(_stem(name) for name, start, _ in members if start == offset)
    return [(start, size) for name, start, size in members if _stem(name) == stem]


def _stem(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _changes(
    tables: Catalogue, found: pl.DataFrame, requests: Requests
) -> Iterable[tuple[Path, Table, pl.Expr]]:
    """Every file that may change, and the condition on its rows."""
    ids = found["image_id"].unique()
    lost = pl.col("image_id").is_in(ids.implode())
    shards = _shards(ids)
    # Links last of what names an image: they are found by URL alone, from the list of a crash too.
    urls = frozenset(found["url"].drop_nulls()) | requests.urls
    linked = Requests(urls=urls, domains=requests.domains).match(with_bytes=False)
    for path in tables.files(schema.IMAGES, shards=shards):
        yield path, schema.IMAGES, lost & (pl.col("status") != "forgotten")
    for path in tables.files(schema.LINKS):
        yield path, schema.LINKS, linked
    for table in LOST:
        paired = table in (schema.PAIRS, schema.EDGES)
        near = pl.col("neighbour_id").is_in(ids.implode()) if paired else pl.lit(False)
        # The other end of an edge may lie in any shard.
        where = None if paired else shards
        for path in tables.files(table, shards=where):
            yield path, table, lost | near


def _hits(path: Path, table: Table, doomed: pl.Expr) -> int:
    return schema.scan(path, table).filter(doomed).select(pl.len()).collect().item()


def _rewrite(path: Path, table: Table, doomed: pl.Expr, *, rows: int) -> None:
    """Replace a table by itself without (or with marked) doomed rows, time and provenance kept."""
    metadata = _metadata(path)
    metadata[COUNT] = str(rows + int(metadata.get(COUNT, "0")))
    frame = schema.scan(path, table)
    if table in (schema.IMAGES, schema.LINKS):
        frame = refusals.marked(frame, doomed)
    else:
        frame = frame.filter(~doomed)
        metadata["rows"] = str(int(metadata["rows"]) - rows)
    if table is schema.MANIFEST:
        earlier = json.loads(metadata.get(BEFORE, "[]"))
        metadata[BEFORE] = json.dumps([*earlier, io.sha256_file(path)])
    _replace(path, frame, metadata)


def _replace(path: Path, frame: pl.LazyFrame, metadata: dict[str, str]) -> None:
    times = path.stat()
    with io.replacing(path) as temporary:
        frame.sink_parquet(temporary, metadata=metadata)
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))


def _tell_parts(tables: Catalogue, ids: pl.Series) -> None:
    """Tell every search made without duplicates which of them are forgotten."""
    files = tables.files(schema.DUPLICATES)
    lost = pl.col("image_id").is_in(ids.implode())
    rows = [schema.scan(p, schema.DUPLICATES).filter(lost).select("image_id") for p in files]
    if not rows or (doomed := pl.concat(rows).collect()["image_id"]).is_empty():
        return
    for path in tables.files(schema.PAIRS):
        metadata = _metadata(path)
        if told := parts.forgotten(metadata, doomed.to_numpy()):
            _replace(path, schema.scan(path, schema.PAIRS), metadata | told)


def _metadata(path: Path) -> dict[str, str]:
    told = pl.read_parquet_metadata(path)
    return {key: value for key, value in told.items() if not key.startswith("ARROW:")}


def _remove_from_indexes(tables: Catalogue, ids: pl.Series) -> None:
    for path in sorted(tables.results.rglob("*.faiss")):
        times = path.stat()
        fix = "delete it: it is made again from tables that hold those images no more"
        try:
            index: Any = faiss.read_index(str(path))
            removed = index.remove_ids(ids.to_numpy().astype(np.int64))
        except RuntimeError as error:
            expected, found = "an index that ids can leave", str(error).splitlines()[-1]
            raise InputError(path, expected=expected, found=found, fix=fix) from error
        if removed:
            with io.replacing(path) as temporary:
                faiss.write_index(index, str(temporary))
                os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))


def _summarise(tables: Catalogue, paths: Iterable[Path], made_by: dict[str, str]) -> None:
    """Write SUMMARY: of every changed file, rows with an image still, and rows without."""
    out = tables.results / FOLDER / "summary.parquet"
    parts = [schema.read(out, schema.SUMMARY)] if out.exists() else []
    for path in paths:
        metadata = pl.read_parquet_metadata(path)
        if forgotten := int(metadata.get(COUNT, "0")):
            marked = metadata["table"] in (schema.IMAGES.name, schema.LINKS.name)
            kept = int(metadata["rows"]) - marked * forgotten
            counts = {COUNT: forgotten}
            parts.append(schema.summary("forget", _name(tables, path), kept=kept, dropped=counts))
    if parts:
        frame = pl.concat(parts).unique(list(schema.SUMMARY.key), keep="last", maintain_order=True)
        schema.write(frame, out, schema.SUMMARY, made_by=made_by)
