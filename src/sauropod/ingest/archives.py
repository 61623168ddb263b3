"""Web archives as a stream of pages: WARC files, whole, truncated or damaged.

Nothing a record holds is trusted: headers, bodies and their decompression are read up to a limit,
and a damaged stretch is skipped by searching for the next record. Every record is counted, either
as a page or under the reason it was left out.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from sauropod.ingest import http_body

log = logging.getLogger(__name__)

HEAD = 65536
"""Most bytes of HTTP header read."""
MAX_RESYNCS = 1000
"""Places tried after damage in one archive before its rest is given up."""
HTML = ("text/html", "application/xhtml+xml")
_START = re.compile(rb"\x1f\x8b\x08|WARC/1\.[01]\r?\n")
_STATUS = re.compile(rb"HTTP/[\d.]+[ \t]+(\d{3})")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """A captured HTML page: its address, its bytes (cut at the limit) and what its headers say."""

    url: str
    body: bytes
    charset: str | None
    robots: tuple[str, ...]


def pages(path: Path, *, max_bytes: int, counts: Counter[str]) -> Iterator[Page]:
    """Yield the HTML responses of a WARC file.

    Args:
        path: .warc file, plain or compressed by gzip or zstd.
        max_bytes: A page is cut after this many bytes, decoded.
        counts: Gets one more per record, under `page` or the reason it was left out, and one
            under `damaged` per stretch that could not be read.
    """
    for record in records(path, counts=counts):
        if record.record_type != WarcRecordType.response:
            counts[str(record.record_type)] += 1
            continue
        url = (record.headers.get("WARC-Target-URI") or "").strip("<> ")
        page = read_page(url, record.reader.read, max_bytes=max_bytes)
        counts["page" if isinstance(page, Page) else page] += 1
        if isinstance(page, Page):
            yield page


def records(path: Path, *, counts: Counter[str]) -> Iterator[WarcRecord]:
    """Yield a file's records in order, searching for the next one after damage."""
    with path.open("rb") as file:
        position, read_some = 0, True
        for _ in range(MAX_RESYNCS):
            file.seek(position)
            last = position
            try:
                for record in ArchiveIterator(file, parse_http=False, quirks_mode=True):
                    last, read_some = record.stream_pos, True
                    yield record
            except (OSError, ValueError) as error:
                if read_some:  # a new stretch, not one more try at the same one
                    counts["damaged"] += 1
                    log.warning("%s: damaged after byte %d: %s", path, last, error)
                read_some = False
            else:
                return
            position = _next_start(file, after=last)
            if position < 0:
                return
        log.warning("%s: gave up after byte %d", path, position)


def _next_start(file: BinaryIO, *, after: int) -> int:
    """Offset of the next thing that looks like the start of a record, or -1."""
    offset = after + 1
    file.seek(offset)
    tail = b""
    while chunk := file.read(1 << 20):
        match = _START.search(tail + chunk)
        if match:
            return offset - len(tail) + match.start()
        offset += len(chunk)
        tail = (tail + chunk)[-16:]
    return -1


def read_page(url: str, read: Callable[[int], bytes], *, max_bytes: int) -> Page | str:
    """Read an HTTP response that holds a page; else the reason it is none.

    Args:
        url: The page's address.
        read: Gives at most so many of the response's next bytes.
        max_bytes: The page is cut after this many bytes, decoded.
    """
    try:
        head, body = _split(read(HEAD))
        status = _STATUS.match(head)
        if not status:
            return "not_http"
        if status[1] != b"200":
            return "not_200"
        fields = http_body.fields(head)
        kind = fields.get("content-type", [""])[0]
        if kind.partition(";")[0].strip().lower() not in HTML:
            return "not_html"
        body += read(max(0, max_bytes - len(body)))
    except (OSError, EOFError, ValueError):
        return "unreadable"
    body = http_body.decode(body, fields=fields, max_bytes=max_bytes)
    charset = _CHARSET.search(kind)
    return Page(url, body, charset[1] if charset else None, tuple(fields.get("x-robots-tag", ())))


def _split(block: bytes) -> tuple[bytes, bytes]:
    """HTTP head and the part of the body already read."""
    for mark in (b"\r\n\r\n", b"\n\n"):
        head, found, body = block.partition(mark)
        if found:
            return head, body
    return block, b""
