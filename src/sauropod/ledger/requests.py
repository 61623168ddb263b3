"""What somebody wants forgotten, read from files: URLs, domains, SHA-256s of image bytes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sauropod.errors import InputError
from sauropod.ingest import sources, urls
from sauropod.ingest.policy import read_policy, suffixes
from sauropod.ledger.refusals import digest, host_of


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What is to be forgotten; domains stand for every host below them."""

    urls: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    sha256s: frozenset[str] = frozenset()

    def words(self) -> set[tuple[str, str]]:
        """The requests as the ledger keeps them: kind and SHA-256."""
        found = {("url", digest(url)) for url in self.urls}
        found |= {("domain", digest(domain)) for domain in self.domains}
        return found | {("sha256", sha256) for sha256 in self.sha256s}

    def match(self, *, with_bytes: bool) -> pl.Expr:
        """A condition on rows with `url` and, unless told otherwise, `sha256` (IMAGES)."""
        url = pl.col("url").is_in(sorted(self.urls))
        if self.domains:
            url = url | pl.col("url").map_batches(self._below, return_dtype=pl.Boolean)
        if with_bytes:
            url = url | pl.col("sha256").is_in(sorted(self.sha256s))
        return url.fill_null(value=False)

    def _below(self, column: pl.Series) -> pl.Series:
        said: dict[str, bool] = {}

        def below(url: str | None) -> bool:
            host = host_of(url) if url else ""
            if host not in said:
                said[host] = any(name in self.domains for name in suffixes(host))
            return said[host]

        return pl.Series(column.name, [below(url) for url in column], dtype=pl.Boolean)


def read(
    url_files: Sequence[Path], *, domain_files: Sequence[Path], sha256_files: Sequence[Path]
) -> Requests:
    """Read request files.

    Args:
        url_files: Lists of URLs: text, CSV or Parquet with a column `url`. What is no http(s) URL
            is taken as the name of an image in a folder or a tar.
        domain_files: Text, one domain per line, as in a blocklist.
        sha256_files: Text, one lower-case hex SHA-256 of an image's bytes per line.

    Raises:
        InputError: nothing asked for, or a file that cannot be read as such.
    """
    listed = [url for path in url_files for url in sources.url_table(path)["url"]]
    found = Requests(
        urls=frozenset(map(_normal, listed)) - {""},
        domains=read_policy(domain_files, url_files=[]).domains,
        sha256s=frozenset(line for path in sha256_files for line in _digests(path)),
    )
    if found == Requests():
        flags = "--urls, --domains, --sha256"
        fix = "name a file with at least one entry"
        raise InputError(flags, expected="something to forget", found="nothing", fix=fix)
    return found


def _normal(url: str) -> str:
    try:
        return urls.normalise(url)
    except urls.BadURL:
        return url


def _digests(path: Path) -> list[str]:
    fix = "write 64 hex digits per line"
    if not path.is_file():
        raise InputError(path, expected="a list of SHA-256s", found="no such file", fix=fix)
    lines = [
        line.split()[0].lower() for line in path.read_text("utf-8").splitlines() if line.split()
    ]
    for line in lines:
        if not re.fullmatch("[0-9a-f]{64}", line):
            raise InputError(path, expected="SHA-256s", found=repr(line[:80]), fix=fix)
    return lines
