"""Every table: name, columns, types and key. Tables add facts about images, joined on `image_id`.

`image_id` = shard number << 32 | row in shard: unique by construction, sorts by place, and says
where the bytes are. `read`, `scan` and `write` check columns and types, so a wrong file is named
before any work starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from sauropod.errors import InputError
from sauropod.io import replacing

STATUS = (
    "ok",
    "bad_url",
    "blocked_domain",
    "robots",
    "opt_out",
    "private_address",
    "http_error",
    "timeout",
    "too_large",
    "too_many_redirects",
    "connection_error",
    "not_an_image",
    "too_many_pixels",
    "too_small",
    "truncated",
    "decode_error",
    "duplicate_url",
    "unsafe",
    "forgotten",
)
REASONS = ("unique", "representative", "copy", "eval_overlap")
SOURCES = ("as_is", "sample", "cluster", "uncurated", "balanced")

ID = pl.UInt64()
TEXT = pl.String()
VECTOR = pl.Array(pl.Float16, 1)  # any width: `check` compares the element type only


@dataclass(frozen=True)
class Table:
    """One table: its name, what a row is, its columns and the columns that identify a row."""

    name: str
    doc: str
    columns: Mapping[str, pl.DataType]
    key: tuple[str, ...] = ("image_id",)


PLACE: dict[str, pl.DataType] = {"tar": TEXT, "offset": pl.UInt64(), "num_bytes": pl.UInt64()}

LINKS = Table(
    "LINKS",
    "An image link found on a page, before download.",
    {
        "url": TEXT,
        "url_key": pl.UInt64(),
        "page_url": TEXT,
        "domain": TEXT,
        "status": pl.Enum(STATUS),
    },
    key=("url_key",),
)
IMAGES = Table(
    "IMAGES",
    "An image that was asked for: where it came from, where its bytes are, or why it has none.",
    {
        "image_id": ID,
        "source": TEXT,
        "url": TEXT,
        "page_url": TEXT,
        "domain": TEXT,
        "width": pl.UInt32(),
        "height": pl.UInt32(),
        "format": TEXT,
        "num_bytes": pl.UInt64(),
        "sha256": TEXT,
        "tar": TEXT,
        "offset": pl.UInt64(),
        "fetched_at": pl.Datetime("ms", "UTC"),
        "status": pl.Enum(STATUS),
    },
)
FACE = pl.Struct({name: pl.Float32() for name in ("left", "top", "width", "height", "score")})
SCREENED = Table(
    "SCREENED",
    "What the detectors said of an image, boxes in pixels of the upright image.",
    {
        "image_id": ID,
        "nsfw_score": pl.Float32(),
        "faces": pl.List(FACE),
        "blurred": pl.Boolean(),
        "nsfw_model": TEXT,
        "faces_model": TEXT,
    },
)
PCA_HASHES = Table(
    "PCA_HASHES",
    "Sign of 64 principal components of an image's similarity features.",
    {"image_id": ID, "pca_hash": pl.UInt64()},
)
DUPLICATES = Table(
    "DUPLICATES",
    "An image dropped because another one, kept, has the same PCA hash.",
    {"image_id": ID, "duplicate_of": ID},
)
DESCRIPTORS = Table(
    "DESCRIPTORS",
    "L2-normalised copy-detection descriptor (SSCD) of an image.",
    {"image_id": ID, "descriptor": VECTOR},
)
NEAR: dict[str, pl.DataType] = {"image_id": ID, "neighbour_id": ID, "similarity": pl.Float32()}
PAIRS = Table(
    "PAIRS",
    "Near images as found in one block of the pool; `true` is null but for audited queries.",
    {**NEAR, "found": pl.Boolean(), "true": pl.Boolean()},
    key=("image_id", "neighbour_id", "true"),
)
EDGES = Table(
    "EDGES", "Two near images: exact cosine of descriptors.", NEAR, key=("image_id", "neighbour_id")
)
COPIES = Table(
    "COPIES",
    "The verdict of deduplication on an image of the pool, with its evidence.",
    {
        "image_id": ID,
        "component": ID,
        "kept": pl.Boolean(),
        "reason": pl.Enum(REASONS),
        "evidence_id": ID,
        "similarity": pl.Float32(),
    },
)
COMPONENTS = Table(
    "COMPONENTS",
    "How many components of near images there are of a size, above a threshold of dedup.",
    {"threshold": pl.Float32(), "size": pl.UInt64(), "components": pl.UInt64()},
    key=("threshold", "size"),
)
EMBEDDINGS = Table(
    "EMBEDDINGS",
    "L2-normalised CLS embedding of an image.",
    {"image_id": ID, "embedding": VECTOR},
)
NEIGHBOURS = Table(
    "NEIGHBOURS",
    "An image of the pool retrieved for a curated image, or drawn from a cluster (no query_id).",
    {
        "image_id": ID,
        "query_dataset": TEXT,
        "query_id": ID,
        "rank": pl.UInt32(),
        "similarity": pl.Float32(),
        "cluster": pl.UInt32(),
    },
    key=("query_dataset", "query_id", "rank", "image_id"),
)
CLUSTERS = Table(
    "CLUSTERS",
    "The k-means cluster of an image of the pool; distance = squared L2 to its centroid, "
    "content_key = first 64 bits of sha256, which keys every draw.",
    {
        "image_id": ID,
        "cluster": pl.UInt32(),
        "distance": pl.Float32(),
        "content_key": pl.UInt64(),
    },
)
MANIFEST = Table(
    "MANIFEST",
    "A row of the training set: where the bytes are, where they came from, and why they are here.",
    {
        "image_id": ID,
        "tar": TEXT,
        "offset": pl.UInt64(),
        "num_bytes": pl.UInt64(),
        "source": pl.Enum(SOURCES),
        "query_dataset": TEXT,
        "query_id": ID,
        "similarity": pl.Float32(),
        "cluster": pl.UInt32(),
        "url": TEXT,
        "sha256": TEXT,
    },
    key=("image_id", "source", "query_dataset", "query_id"),
)
METRICS = Table(
    "METRICS",
    "One measured number.",
    {
        "model": TEXT,
        "benchmark": TEXT,
        "metric": TEXT,
        "value": pl.Float64(),
        "num_samples": pl.UInt64(),
        "seconds": pl.Float64(),
        "commit": TEXT,
    },
    key=("model", "benchmark", "metric"),
)
SUMMARY = Table(
    "SUMMARY",
    "Rows a stage kept and dropped, by reason; they add up to the rows that came in.",
    {"stage": TEXT, "shard": TEXT, "reason": TEXT, "rows": pl.UInt64()},
    key=("stage", "shard", "reason"),
)
FORGOTTEN = Table(
    "FORGOTTEN",
    "What must never come back: the SHA-256 of a URL, of a domain, or of an image's bytes.",
    {
        "kind": pl.Enum(("url", "domain", "sha256")),
        "sha256": TEXT,
        "forgotten_at": pl.Datetime("ms", "UTC"),
    },
    key=("kind", "sha256"),
)
KINDS = (
    "original",
    "near_duplicate",
    "exact_copy",
    "benchmark_copy",
    "curated_copy",
    "unsafe",
    "junk",
    "trap",
)
BOX = pl.Struct({name: pl.Float32() for name in ("left", "top", "width", "height")})
TRUTH = Table(
    "TRUTH",
    "What the demo world knows of an image it rendered, or of a link that leads to none (a trap).",
    {
        "name": TEXT,  # URL, or path below the world's folder
        "role": pl.Enum(("pool", "curated", "benchmark", "detector")),
        "dataset": TEXT,
        "split": TEXT,
        "label": TEXT,
        "kind": pl.Enum(KINDS),
        "parent": TEXT,  # name of the image this one was copied from
        "transform": TEXT,
        "num_faces": pl.UInt16(),
        "faces": pl.List(BOX),
        "sha256": TEXT,  # of the bytes as served
        "status": pl.Enum(STATUS),  # what ingest should say of it
    },
    key=("name",),
)
TABLES = (
    LINKS,
    IMAGES,
    SCREENED,
    PCA_HASHES,
    DUPLICATES,
    DESCRIPTORS,
    PAIRS,
    EDGES,
    COPIES,
    COMPONENTS,
    EMBEDDINGS,
    NEIGHBOURS,
    CLUSTERS,
    MANIFEST,
    METRICS,
    SUMMARY,
    FORGOTTEN,
    TRUTH,
)


def _same(expected: pl.DataType, found: pl.DataType) -> bool:
    if isinstance(expected, pl.Array) and isinstance(found, pl.Array):
        return expected.inner == found.inner
    return expected == found


def _differences(columns: Mapping[str, pl.DataType], found: Mapping[str, pl.DataType]) -> str:
    missing = [name for name in columns if name not in found]
    unexpected = [name for name in found if name not in columns]
    mistyped = [
        f"{name} {found[name]} instead of {kind}"
        for name, kind in columns.items()
        if name in found and not _same(kind, found[name])
    ]
    parts = {"missing": missing, "unexpected": unexpected, "mistyped": mistyped}
    return "; ".join(f"{word} {', '.join(names)}" for word, names in parts.items() if names)


def check(path: Path, table: Table) -> None:
    """Check a Parquet file's columns and types against a table, reading the footer only.

    Raises:
        InputError: missing file, not Parquet, or columns missing, unexpected or mistyped.
    """
    fix = "give the file that the stage before wrote, or rerun that stage"
    expected = f"a table {table.name}"
    try:
        found = pl.read_parquet_schema(path)
    except FileNotFoundError:
        raise InputError(path, expected=expected, found="no such file", fix=fix) from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(path, expected=expected, found=f"no Parquet ({error})", fix=fix) from error
    if differences := _differences(table.columns, found):
        raise InputError(path, expected=expected, found=differences, fix=fix)


def _paths(paths: Path | Sequence[Path]) -> list[Path]:
    return [paths] if isinstance(paths, Path) else list(paths)


def scan(paths: Path | Sequence[Path], table: Table) -> pl.LazyFrame:
    """Check one or many files of a table and scan them lazily, in the order given."""
    for path in (files := _paths(paths)):
        check(path, table)
    if not files:
        return pl.LazyFrame(schema=dict(table.columns))
    # Empty shards of vector tables carry width 1: reading frame by frame keeps their types apart.
    frames = [pl.scan_parquet(path, glob=False) for path in files]
    return pl.concat(frames) if len(frames) > 1 else frames[0]


def read(
    paths: Path | Sequence[Path], table: Table, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """Read one or many files of a table, in the order given.

    Args:
        paths: Parquet files.
        table: What they must be.
        columns: Read only these.
    """
    files = _paths(paths)
    for path in files:
        check(path, table)
    frames = [
        pl.read_parquet(path, columns=list(columns) if columns else None, glob=False)
        for path in files
    ]
    frames = [frame for frame in frames if not frame.is_empty()] or frames[:1]
    if not frames:
        kept = {name: table.columns[name] for name in columns or table.columns}
        return pl.DataFrame(schema=kept)
    return pl.concat(frames)


def write(frame: pl.DataFrame, path: Path, table: Table, *, made_by: Mapping[str, str]) -> None:
    """Write a table atomically, with its provenance and row count in the file's metadata.

    Args:
        frame: Exactly the table's columns, in any order.
        path: Parquet file to replace.
        table: What the frame is; a frame that differs is our bug.
        made_by: Provenance from `io.stamp`.
    """
    differences = _differences(table.columns, frame.schema)
    assert not differences, f"{path}: not a table {table.name}: {differences}"
    metadata = {**made_by, "table": table.name, "rows": str(frame.height)}
    # Float16 vectors shrink by a tenth, and decompressing them doubles the time to read them.
    wide = any(isinstance(kind, pl.Array) for kind in table.columns.values())
    rows, how = frame.select(list(table.columns)), "uncompressed" if wide else "zstd"
    with replacing(path) as temporary:
        rows.write_parquet(temporary, compression=how, metadata=metadata)


def summary(stage: str, shard: str, *, kept: int, dropped: Mapping[str, int]) -> pl.DataFrame:
    """Make a stage's SUMMARY rows: `kept` and every reason that dropped at least one row."""
    rows = {"kept": kept, **{reason: count for reason, count in dropped.items() if count}}
    return pl.DataFrame(
        {
            "stage": [stage] * len(rows),
            "shard": [shard] * len(rows),
            "reason": list(rows),
            "rows": list(rows.values()),
        },
        schema=dict(SUMMARY.columns),
    )


def image_ids(shard_number: int, count: int) -> np.ndarray:
    """Return the ids of a shard's rows: `shard_number << 32 | row`, uint64 (count,)."""
    assert all(0 <= number < 2**32 for number in (shard_number, count))
    return (np.uint64(shard_number) << np.uint64(32)) | np.arange(count, dtype=np.uint64)


def vectors(frame: pl.DataFrame, column: str) -> np.ndarray:
    """Return a vector column as a float16 array (rows, width) without going through lists."""
    width = frame.schema[column].shape[0]  # type: ignore[union-attr]
    flat = frame[column].explode(empty_as_null=False).to_numpy() if frame.height else np.empty(0)
    return flat.astype(np.float16, copy=False).reshape(frame.height, width)


def vector_column(values: np.ndarray) -> pl.Series:
    """Make a vector column from a float array (rows, width), stored as float16."""
    half = np.ascontiguousarray(values, dtype=np.float16)
    return pl.Series(half, dtype=pl.Array(pl.Float16, half.shape[1]))
