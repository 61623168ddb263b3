"""WAT files: Common Crawl's JSON digests of pages, with the links already taken out.

Three to four times smaller than WARC, but only `IMG@/src` and its kin are listed: no lazy-loading
attributes. Layout: Envelope.Payload-Metadata.HTTP-Response-Metadata.{Headers, HTML-Metadata}.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastwarc.warc import WarcRecordType

from sauropod.ingest import archives, srcset
from sauropod.ingest.pages import Found

_SOURCES = frozenset(("IMG@/src", "IMG@/data-src", "AMP-IMG@/src"))
_SETS = frozenset(("IMG@/srcset", "SOURCE@/srcset", "IMG@/data-srcset"))


@dataclass(frozen=True, slots=True)
class Digest:
    """What a WAT record says of one page."""

    url: str
    found: Found


def digests(path: Path, *, max_bytes: int, counts: Counter[str]) -> Iterator[Digest]:
    """Yield the pages of a WAT file; counts as in `archives.pages`."""
    for record in archives.records(path, counts=counts):
        if record.record_type != WarcRecordType.metadata:
            counts[str(record.record_type)] += 1
            continue
        if record.content_length > max_bytes:
            counts["too_large"] += 1
            continue
        try:
            envelope = json.loads(record.reader.read(max_bytes))
            digest = _digest(envelope, url=record.headers.get("WARC-Target-URI") or "")
        except (OSError, ValueError, RecursionError):
            counts["unreadable"] += 1
            continue
        counts["page" if digest else "not_html"] += 1
        if digest:
            yield digest


def _digest(envelope: object, *, url: str) -> Digest | None:
    response = _at(envelope, "Envelope", "Payload-Metadata", "HTTP-Response-Metadata")
    html = _at(response, "HTML-Metadata")
    if not html:
        return None
    found = Found(base=_text(_at(html, "Head").get("Base")))
    for link in _dicts(html.get("Links")):
        path, target = _text(link.get("path")), _text(link.get("url"))
        if target and path in _SOURCES:
            found.references.append(target)
        elif target and path in _SETS:
            found.references += srcset.candidates(target)
    for meta in _dicts(_at(html, "Head").get("Metas")):
        if (_text(meta.get("name")) or "").lower() == "robots":
            found.robots.append(_text(meta.get("content")) or "")
    for name, value in _at(response, "Headers").items():
        if name.lower() == "x-robots-tag":
            found.robots.append(str(value))
    return Digest(url, found)


def _at(value: object, *path: str) -> dict[str, Any]:
    """Walk nested objects; anything else on the way gives an empty one."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
