"""Download a shard's links at once and pack what is good, rows in order of their url_key.

Bodies are validated as they arrive and parked in an unnamed temporary file, so that the order of
completion leaves no trace; at the end they are copied to the tar in order of the rows.
"""

import asyncio
import contextlib
import itertools
import signal
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl

from sauropod import io
from sauropod.config import Ingest
from sauropod.errors import Checkpointed, InputError
from sauropod.ingest import pack, urls
from sauropod.ingest.addresses import Place
from sauropod.ingest.fetch import Fetcher
from sauropod.ingest.pack import Facts, Row
from sauropod.progress import track


@dataclass(slots=True)
class Download:
    """One link's fate so far."""

    url: str
    status: str = "timeout"
    facts: Facts | None = None
    spooled_at: int = 0
    num_bytes: int = 0
    fetched_at: datetime | None = None


@dataclass
class Spool:
    """Bodies in order of arrival."""

    file: BinaryIO
    size: int = 0

    def put(self, data: bytes) -> int:
        """Append bytes and return where they start."""
        start = self.size
        self.file.write(data)
        self.size += len(data)
        return start

    def take(self, download: Download) -> bytes:
        """Read a download's bytes back."""
        self.file.seek(download.spooled_at)
        return self.file.read(download.num_bytes)


@dataclass
class Crawl:
    """What the downloads of one shard share."""

    knobs: Ingest
    fetcher: Fetcher
    spool: Spool
    decoders: ThreadPoolExecutor
    done: Iterator[None] = field(repr=False)

    async def host(self, downloads: Iterator[Download]) -> None:
        """Fetch one host's links one by one; several of these share an iterator."""
        for download in downloads:
            download.status = await self.fetcher.get(
                download.url, keep=lambda data, d=download: self._keep(data, d)
            )
            next(self.done)

    async def _keep(self, data: bytes, download: Download) -> str:
        loop = asyncio.get_running_loop()
        facts = await loop.run_in_executor(
            self.decoders, lambda: pack.validate(data, knobs=self.knobs)
        )
        download.facts = facts
        download.fetched_at = datetime.now(UTC)
        if facts.status == "ok":
            download.num_bytes = len(data)
            download.spooled_at = self.spool.put(data)
        return facts.status


def check_manners(knobs: Ingest, *, places: Mapping[str, Place]) -> None:
    """Raise InputError when the public web would be crawled without saying who asks."""
    if "set-your-contact" in knobs.user_agent and not places:
        raise InputError(
            "ingest.user_agent",
            expected="a name and a contact (URL or e-mail)",
            found=knobs.user_agent,
            fix="set it to 'yourname/1.0 (+https://your.site/crawler)'",
        )


def crawl(
    links: pl.DataFrame,
    *,
    tar_path: Path,
    knobs: Ingest,
    places: Mapping[str, Place],
    num_threads: int,
) -> list[Row]:
    """Download links and write the good images to a tar shard.

    Args:
        links: LINKS rows; those whose status is not ok are passed through unasked.
        tar_path: Tar shard to write.
        knobs: Limits and manners.
        places: Hosts-file names.
        num_threads: Threads that decode; changes only speed.

    Returns:
        One row per link, in the links' order.

    Raises:
        Checkpointed: SIGTERM came; nothing was written.
    """
    asked = {url: Download(url) for url in links.filter(pl.col("status") == "ok")["url"]}
    tar_path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(dir=tar_path.parent))
        spool = Spool(cast(BinaryIO, file))
        decoders = stack.enter_context(ThreadPoolExecutor(num_threads))
        asyncio.run(
            _download_all(
                list(asked.values()), knobs=knobs, places=places, spool=spool, decoders=decoders
            )
        )
        return _pack(links, asked, spool=spool, tar_path=tar_path)


def _pack(
    links: pl.DataFrame, asked: Mapping[str, Download], *, spool: Spool, tar_path: Path
) -> list[Row]:
    """Copy good bodies from the spool to the tar in the links' order."""
    rows: list[Row] = []
    with io.TarWriter(tar_path) as tar:
        for link in links.iter_rows(named=True):
            download = asked.get(link["url"])
            row = _row(link, download=download)
            if download and row.status == "ok":
                data = spool.take(download)
                row = pack.place(row, data, tar=tar, tar_path=tar_path, number=len(rows))
            rows.append(row)
    return rows


async def _download_all(
    downloads: list[Download],
    *,
    knobs: Ingest,
    places: Mapping[str, Place],
    spool: Spool,
    decoders: ThreadPoolExecutor,
) -> None:
    hosts: dict[str, list[Download]] = defaultdict(list)
    for download in downloads:
        hosts[urls.host_of(download.url)].append(download)
    total = len(downloads)
    ticks = track(itertools.repeat(None, total), total=total, label="ingest", unit="links")
    done = itertools.chain(ticks, itertools.repeat(None))
    next(done)
    with _stopping():
        async with Fetcher(knobs, places=places) as fetcher:
            shared = Crawl(knobs, fetcher, spool, decoders, done)
            # What is not done at the deadline stays the time-out it was born as.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(knobs.shard_deadline_s), asyncio.TaskGroup() as group:
                    for waiting in hosts.values():
                        queue = iter(waiting)
                        for _ in range(min(knobs.per_host, len(waiting))):
                            group.create_task(shared.host(queue))


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Turn SIGTERM into a clean end: downloads are cancelled, nothing is written, exit 75."""
    task = asyncio.current_task()
    assert task
    stopped: list[int] = []

    def stop() -> None:
        stopped.append(signal.SIGTERM)
        task.cancel()

    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    except asyncio.CancelledError:
        if stopped:
            raise Checkpointed("stopped by a signal; nothing was written, run again") from None
        raise
    finally:
        if main_thread:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


def _row(link: Mapping[str, Any], *, download: Download | None) -> Row:
    facts = download.facts if download else None
    return Row(
        url=link["url"],
        page_url=link["page_url"],
        domain=link["domain"],
        status=download.status if download else link["status"],
        width=facts.width if facts else None,
        height=facts.height if facts else None,
        format=facts.format if facts else None,
        sha256=facts.sha256 if facts else None,
        fetched_at=download.fetched_at if download else None,
    )
