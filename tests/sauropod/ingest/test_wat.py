"""wat.py: Common Crawl's digests, and JSON that is none."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from sauropod.ingest import wat


def metadata(value: object, *, url: str = "http://a.example/p") -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = f"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: {url}\r\n"
    lines += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return gzip.compress(lines.encode() + body + b"\r\n\r\n")


def envelope(html: object, headers: object = None) -> dict[str, object]:
    response = {"HTML-Metadata": html, "Headers": headers or {}}
    return {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": response}}}


HTML = {
    "Head": {"Base": "/b/", "Metas": [{"name": "Robots", "content": "noai"}, "x"]},
    "Links": [
        {"path": "IMG@/src", "url": "a.png", "alt": "x"},
        {"path": "A@/href", "url": "page.html"},
        {"path": "IMG@/srcset", "url": "b.png 1x, c.png 2x"},
        {"path": "IMG@/src"},
        "nonsense",
    ],
}


def read(path: Path, data: bytes) -> tuple[list[wat.Digest], Counter[str]]:
    path.write_bytes(data)
    counts: Counter[str] = Counter()
    return list(wat.digests(path, max_bytes=10_000, counts=counts)), counts


def test_links_base_and_robots(tmp_path: Path) -> None:
    data = metadata(envelope(HTML, {"X-Robots-Tag": "noimageindex"}))
    (digest,), counts = read(tmp_path / "a.wat.gz", data)
    assert digest.url == "http://a.example/p"
    assert digest.found.references == ["a.png", "b.png", "c.png"]
    assert digest.found.base == "/b/"
    assert digest.found.robots == ["noai", "noimageindex"]
    assert counts == {"page": 1}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "not_html"),
        ({"Envelope": "x"}, "not_html"),
        (envelope({}), "not_html"),
        (envelope({"Head": "x", "Links": {"a": 1}}), "page"),
        (b"{broken", "unreadable"),
        (b"[" * 9_000, "unreadable"),
        (b"\xff\xfe", "unreadable"),
        (b" " * 20_000, "too_large"),
    ],
)
def test_odd_records_are_counted(tmp_path: Path, value: object, reason: str) -> None:
    _, counts = read(tmp_path / "a.wat.gz", metadata(value) + metadata(envelope(HTML)))
    assert counts == Counter([reason, "page"])
