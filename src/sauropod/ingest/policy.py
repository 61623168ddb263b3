"""Which links are asked for: blocklists of domains and URLs, literal private addresses.

A blocklist is a text file the user brings, one entry per line, '#' starts a comment:
domains ("example.com" blocks its subdomains too) or URL patterns (a plain substring, or a regular
expression between slashes). A URL's registered domain comes from the public suffix list that
ships inside tldextract: nothing is fetched.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import tldextract

from sauropod.errors import InputError
from sauropod.ingest import addresses, urls

_EXTRACT = tldextract.TLDExtract(
    suffix_list_urls=(), cache_dir=None, fallback_to_snapshot=True, include_psl_private_domains=True
)


@dataclass(frozen=True)
class Policy:
    """The user's blocklists, ready to match."""

    domains: frozenset[str]
    pattern: re.Pattern[str] | None

    def host_status(self, host: str) -> str:
        """Status that a host gives all its URLs: ok, private_address or blocked_domain."""
        if addresses.refused(host):
            return "private_address"
        blocked = self.domains and any(suffix in self.domains for suffix in suffixes(host))
        return "blocked_domain" if blocked else "ok"

    def url_status(self, url: str) -> str:
        """Status of a URL by itself: ok or blocked_domain."""
        return "blocked_domain" if self.pattern and self.pattern.search(url) else "ok"


def read_policy(domain_files: Sequence[Path], *, url_files: Sequence[Path]) -> Policy:
    """Load blocklists. Raises InputError for a missing file or a bad regular expression."""
    domains: set[str] = set()
    for path in domain_files:
        for line in _lines(path):
            # hosts-file style lists put an address first; the name is the last word
            name = line.split()[-1].removeprefix("*.").strip(".").lower()
            domains.add(_ascii(name, path=path))
    patterns = [_pattern(line, path=path) for path in url_files for line in _lines(path)]
    joined = re.compile("|".join(f"(?:{p})" for p in patterns)) if patterns else None
    return Policy(frozenset(domains), joined)


@lru_cache(maxsize=65536)
def registered_domain(host: str) -> str:
    """The part of a host one owner registered ("img.shop.co.uk" -> "shop.co.uk"); else the host."""
    if addresses.is_literal(host):
        return host
    found = _EXTRACT.extract_str(host).top_domain_under_public_suffix
    return found or ".".join(host.split(".")[-2:])  # the list's own rule for unlisted endings


def suffixes(host: str) -> Iterable[str]:
    """Yield a host and every domain above it: a.b.org, b.org, org."""
    yield host
    while "." in host:
        host = host.partition(".")[2]
        yield host


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise InputError(
            path, expected="a blocklist", found="no such file", fix="check the blocklist knob"
        )
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _ascii(name: str, *, path: Path) -> str:
    try:
        return urls.host_of(urls.normalise(f"http://{name}/"))
    except urls.BadURL:
        raise InputError(
            path, expected="one domain per line", found=repr(name[:60]), fix="write example.com"
        ) from None


def _pattern(line: str, *, path: Path) -> str:
    if not (len(line) > 2 and line.startswith("/") and line.endswith("/")):
        return re.escape(line)
    try:
        re.compile(line[1:-1])
    except re.error as error:
        raise InputError(
            path,
            expected="a regular expression between slashes",
            found=f"{line[:60]!r}: {error}",
            fix="escape its special characters",
        ) from None
    return line[1:-1]
