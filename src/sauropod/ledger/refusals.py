"""What was forgotten and must not come back: SHA-256 of URLs, of domains and of images' bytes.

The ledger (table FORGOTTEN) holds no URL and no domain in clear. A domain stands for every host
below it.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from sauropod import schema
from sauropod.ingest import urls
from sauropod.ingest.policy import suffixes
from sauropod.ledger.catalogue import FOLDER

PLACE = ("tar", "offset", "num_bytes")
CLEARED = ("url", "page_url", "domain", "sha256", *PLACE, "fetched_at")
"""Columns of IMAGES that are null in a forgotten row."""


def ledger_of(results: Path) -> Path:
    """The ledger of a results folder; there is none before something is forgotten."""
    return results / FOLDER / "forgotten.parquet"


def digest(text: str) -> str:
    """Lower-case hex SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Refusals:
    """The ledger's words, by kind."""

    known: frozenset[tuple[str, str]]

    @classmethod
    def read(cls, path: Path | None) -> "Refusals":
        """Read a ledger; a file that does not exist refuses nothing."""
        if path is None or not path.exists():
            return cls(frozenset())
        frame = schema.read(path, schema.FORGOTTEN, columns=["kind", "sha256"])
        return cls(frozenset(frame.iter_rows()))

    def url(self, url: str) -> bool:
        """Whether a URL, or a domain it lies under, was forgotten."""
        if ("url", digest(url)) in self.known:
            return True
        return any(("domain", digest(name)) in self.known for name in suffixes(host_of(url)))

    def sha256(self, sha256: str | None) -> bool:
        """Whether an image with these bytes was forgotten."""
        return ("sha256", sha256) in self.known

    def links(self, links: pl.DataFrame) -> pl.DataFrame:
        """Refuse links (LINKS or IMAGES rows) that were forgotten, so that nobody asks for them."""
        if not self.known:
            return links
        refused = pl.Series([url is not None and self.url(url) for url in links["url"]])
        return marked(links.lazy(), pl.lit(refused)).collect()

    def images(self, images: pl.DataFrame, *, tar: Path) -> pl.DataFrame:
        """Refuse IMAGES rows whose URL or bytes were forgotten.

        Args:
            images: Rows just made.
            tar: The tar just written; refused bytes in it are overwritten. Others are the user's.
        """
        if not self.known:
            return images
        pairs = images.select("url", "sha256").iter_rows()
        refused = pl.Series([bool(url and self.url(url)) or self.sha256(s) for url, s in pairs])
        places = images.filter(refused & (images["tar"] == str(tar))).select("offset", "num_bytes")
        overwrite(tar, places.iter_rows())
        return marked(images.lazy(), pl.lit(refused)).collect()


def host_of(url: str) -> str:
    """Host of a URL; a name in a folder or a tar, and what is no URL, has none."""
    try:
        return urls.host_of(url)
    except ValueError:
        return ""


def overwrite(tar: Path, places: Iterable[tuple[int, int]]) -> None:
    """Put zeros over places (offset, num_bytes) of a tar and wait for the disk; its time stays."""
    times = tar.stat()
    with tar.open("r+b") as file:
        for offset, num_bytes in places:
            file.seek(offset)
            file.write(b"\0" * num_bytes)
        file.flush()
        os.fsync(file.fileno())
    os.utime(tar, ns=(times.st_atime_ns, times.st_mtime_ns))


def marked(frame: pl.LazyFrame, chosen: pl.Expr) -> pl.LazyFrame:
    """Mark rows of LINKS or IMAGES as forgotten and clear what tells of the image."""
    names = frame.collect_schema()
    keep = [pl.when(chosen).then(None).otherwise(pl.col(c)).alias(c) for c in CLEARED if c in names]
    status = pl.lit("forgotten", dtype=names["status"])
    told = pl.when(chosen).then(status).otherwise(pl.col("status")).alias("status")
    return frame.with_columns(*keep, told)


def record(
    path: Path, words: Iterable[tuple[str, str]], *, at: datetime, made_by: dict[str, str]
) -> None:
    """Add words (kind, sha256) to a ledger; what is known keeps its date."""
    kinds = dict(schema.FORGOTTEN.columns)
    known = schema.read(path, schema.FORGOTTEN) if path.exists() else pl.DataFrame(schema=kinds)
    new = pl.DataFrame([(*word, at) for word in sorted(set(words))], schema=kinds, orient="row")
    frame = pl.concat([known, new]).unique(["kind", "sha256"], keep="first", maintain_order=True)
    if frame.height > known.height:
        schema.write(frame, path, schema.FORGOTTEN, made_by=made_by)
