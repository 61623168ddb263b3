"""Links that lead to no image: dead, broken, hostile or forbidden; and what ingest should say."""

import struct
import zlib
from typing import Any, NamedTuple

from sauropod.demo.pool import BLOG, GALLERY, SHOP, Item

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00"
    b"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"></svg>'
HUGE = 80_000_000  # bytes, more than any image the demo accepts


class Trap(NamedTuple):
    """A link: what ingest should say, and the file or the server rule behind it."""

    url: str
    status: str
    body: bytes | None = None
    rule: dict[str, Any] | None = None
    parent: str = ""


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb() -> bytes:
    """Return a PNG that claims 50,000 x 50,000 pixels in 100 bytes."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    data = _chunk(b"IDAT", zlib.compress(b"\0" * 64)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + data


def _addresses() -> list[Trap]:
    """Return links that must never be asked for."""
    private = (
        "http://127.0.0.1/admin.png",
        "http://127.0.0.1:6379/logo.png",
        "http://localhost/secret.jpg",
        "http://169.254.169.254/latest/meta-data/photo.jpg",
        "http://10.0.0.7/camera.jpg",
        "http://192.168.1.1/logo.png",
        "http://[::1]/admin.png",
        "http://0.0.0.0/x.png",
    )
    schemes = (
        "file:///etc/passwd",
        "ftp://gallery.demo.test/photo.jpg",
        "javascript:alert(1)",
        "http://",
    )
    return [
        *(Trap(url, "private_address") for url in private),
        *(Trap(url, "bad_url") for url in schemes),
        *(Trap(f"http://gone{k}.demo.test/photo.jpg", "connection_error") for k in range(3)),
    ]


def _broken(sample: bytes) -> list[Trap]:
    """Return files that are not (whole) images."""
    page = b"<!doctype html><title>Sorry</title><p>Log in to see this image."
    traps = [Trap(f"http://{BLOG}/broken/zero{k}.jpg", "not_an_image", b"") for k in range(3)]
    for k in range(5):
        traps.append(Trap(f"http://{SHOP}/broken/login{k}.jpg", "not_an_image", page))
        cut = sample[: len(sample) * (k + 4) // 10]
        traps.append(Trap(f"http://{GALLERY}/broken/half{k}.jpg", "truncated", cut))
        pixel = f"http://{SHOP}/pixels/{k}.gif"
        traps.append(Trap(pixel, "too_small", GIF))
    traps += [
        Trap(f"http://{GALLERY}/broken/bomb{k}.png", "too_many_pixels", bomb()) for k in range(2)
    ]
    return [*traps, Trap(f"http://{SHOP}/img/icon.svg", "not_an_image", SVG)]


def _answers(target: str) -> list[Trap]:
    """Return links whose server misbehaves."""
    loop = f"http://{BLOG}/go/"
    says: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        *(
            (SHOP, f"errors/{code}.jpg", "http_error", {"status": code})
            for code in (403, 410, 451, 500, 503)
        ),
        (BLOG, "go/loop1.jpg", "too_many_redirects", {"location": f"{loop}loop2.jpg"}),
        (BLOG, "go/loop2.jpg", "too_many_redirects", {"location": f"{loop}loop1.jpg"}),
        (BLOG, "go/meta.jpg", "private_address", {"location": "http://169.254.169.254/latest/"}),
        (BLOG, "go/home.jpg", "private_address", {"location": "http://127.0.0.1:22/x.jpg"}),
        (BLOG, "go/file.jpg", "bad_url", {"location": "file:///etc/passwd"}),
        (GALLERY, "slow/never.jpg", "timeout", {"delay_s": 600}),
        (SHOP, "files/huge.jpg", "too_large", {"bytes": HUGE}),
        (SHOP, "files/endless.jpg", "too_large", {"bytes": HUGE, "chunked": True}),
        (GALLERY, "moved/photo.jpg", "ok", {"location": target, "status": 301}),
    )
    traps = [
        Trap(f"http://{host}/{path}", status, rule={"path": f"/{path}", **rule})
        for host, path, status, rule in says
    ]
    traps[-1] = traps[-1]._replace(parent=target)
    lost = [f"http://{host}/lost/{k}.jpg" for host in (BLOG, GALLERY, SHOP) for k in range(7)]
    return [*(Trap(url, "http_error") for url in lost), *traps]


def chain(target: str) -> list[Trap]:
    """Return nine redirects in a row to a good image: more than a crawler follows."""
    urls = [f"http://{GALLERY}/chain/{k}.jpg" for k in range(9)]
    return [
        Trap(url, "too_many_redirects", rule={"path": f"/chain/{k}.jpg", "location": after})
        for k, (url, after) in enumerate(zip(urls, [*urls[1:], target], strict=True))
    ]


def traps(sample: Item) -> list[Trap]:
    """Return every trap; `sample` is a good image to break and to redirect to."""
    long = chain(sample.url)
    return [*_addresses(), *_broken(sample.file.data), *_answers(sample.url), long[0]]


def rules(found: list[Trap], sample: Item) -> dict[str, list[dict[str, Any]]]:
    """Return the server's rules per host: those of the traps, and the opt-out header."""
    tag = {"X-Robots-Tag": "noai, noimageai"}
    book: dict[str, list[dict[str, Any]]] = {BLOG: [{"path": "/noai/*", "headers": tag}]}
    for trap in [*found, *chain(sample.url)[1:]]:
        if trap.rule is not None:
            book.setdefault(trap.url.split("/")[2], []).append(trap.rule)
    book.setdefault(GALLERY, []).append({"path": "/slow/*", "delay_s": 0.5})
    return book
