"""ARC files, the Internet Archive's format before WARC (version 1, plain or gzip).

Each record is a line `URL IP date type length`, then that many bytes of HTTP response, then an
empty line; the first record describes the file itself.
"""

import gzip
import logging
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from sauropod.ingest import archives, http_body
from sauropod.ingest.archives import Page

log = logging.getLogger(__name__)

LINE = 65536
"""Most bytes of a record's first line."""


def is_arc(path: Path) -> bool:
    """True when a file starts as ARC files do."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"\x1f\x8b"):
        start = http_body.decompress(start, encoding="gzip", max_bytes=64)
    return start.startswith(b"filedesc:")


def pages(path: Path, *, max_bytes: int, counts: Counter[str]) -> Iterator[Page]:
    """Yield the HTML responses of an ARC file; counts as in `archives.pages`.

    After damage the rest of the file is left out (counted once, as `damaged`).
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        try:
            for url, record in _records(file):
                page = archives.read_page(url, record.read, max_bytes=max_bytes)
                counts["page" if isinstance(page, Page) else page] += 1
                if isinstance(page, Page):
                    yield page
                record.skip()
        except (OSError, EOFError, ValueError, zlib.error) as error:
            counts["damaged"] += 1
            log.warning("%s: damaged, the rest is left out: %s", path, error)


class _Record:
    """The bytes of one record, read forwards."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data

    def skip(self) -> None:
        while self._left and self.read(1 << 20):
            pass


def _records(file: BinaryIO) -> Iterator[tuple[str, _Record]]:
    while line := file.readline(LINE):
        fields = line.decode("utf-8", "replace").split()
        if not fields:
            continue  # the empty line between records
        if len(fields) < 5 or not fields[-1].isdigit():
            message = f"no record where one should start: {line[:60]!r}"
            raise ValueError(message)
        record = _Record(file, int(fields[-1]))
        if fields[0].startswith("filedesc:"):
            record.skip()
        else:
            yield fields[0], record
