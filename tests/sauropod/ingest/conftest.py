"""A loopback web server that behaves as badly as a test asks it to."""

import asyncio
import io
import struct
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def picture(*, side: int = 48, kind: str = "JPEG", seed: int = 0) -> bytes:
    """An image file of coloured noise blocks."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    blocks = rng.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize((side, side)).save(buffer, kind)
    return buffer.getvalue()


def bomb(*, width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG whose header promises far more pixels than its few bytes hold."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def answer(
    body: bytes = b"", *, status: str = "200 OK", kind: str = "image/jpeg", head: str = ""
) -> bytes:
    """A whole HTTP answer."""
    lines = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return (lines + head + "Connection: close\r\n\r\n").encode() + body


def redirect(to: str) -> bytes:
    """A 302 to somewhere."""
    return answer(status="302 Found", head=f"Location: {to}\r\n")


@dataclass
class Web:
    """Answers by `host/path`; a list is used up one by one, its last answer stays."""

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    open_now: dict[str, int] = field(default_factory=dict)
    most_open: dict[str, int] = field(default_factory=dict)
    agents: set[str] = field(default_factory=set)
    port: int = 0

    def put(self, where: str, *replies: Reply) -> str:
        """Set the answers of a URL (without scheme) and return the URL."""
        self.replies[where] = list(replies) or [answer(status="404 Not Found")]
        return f"http://{where}"

    def hosts_file(self, folder: Path) -> Path:
        """Write the hosts file that sends every name used so far to this server."""
        names = sorted({where.partition("/")[0] for where in self.replies})
        path = folder / "hosts"
        path.write_text(f"# test\n127.0.0.1:{self.port} {' '.join(names)} empty.test\n")
        return path

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, answer it and close."""
        try:
            text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = text.split(" ", 2)[1]
            fields = dict(line.split(": ", 1) for line in text.split("\r\n")[1:] if ": " in line)
            host = fields.get("Host", "")
            self.agents.add(fields.get("User-Agent", ""))
            self.asked.append(host + path)
            self.open_now[host] = self.open_now.get(host, 0) + 1
            self.most_open[host] = max(self.most_open.get(host, 0), self.open_now[host])
            queue = self.replies.get(host + path, [answer(status="404 Not Found")])
            reply = queue.pop(0) if len(queue) > 1 else queue[0]
            try:
                if isinstance(reply, bytes):
                    writer.write(reply)
                    await writer.drain()
                else:
                    await reply(writer)
            finally:
                self.open_now[host] -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()


async def drip(writer: asyncio.StreamWriter) -> None:
    """Slow loris: one byte now and then, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 9999\r\n\r\n")
    writer.write(b"\xff\xd8\xff" + b"\0" * 20)
    while True:
        writer.write(b"\0")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silence(_: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await asyncio.sleep(3600)


async def endless(writer: asyncio.StreamWriter) -> None:
    """A body without a length that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff")
    while True:
        writer.write(b"\0" * 65536)
        await writer.drain()


@pytest.fixture
def web() -> Iterator[Web]:
    """A running server; set its answers with `put`."""
    site = Web()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(site.handle, "127.0.0.1", 0)
        site.port = server.sockets[0].getsockname()[1]
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    task = loop.create_task(serve())

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            others = asyncio.all_tasks(loop)
            for other in others:
                other.cancel()
            loop.run_until_complete(asyncio.gather(*others, return_exceptions=True))
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    yield site
    loop.call_soon_threadsafe(task.cancel)
    thread.join()
