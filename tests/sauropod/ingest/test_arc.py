"""arc.py: old ARC files, whole and damaged."""

import gzip
from collections import Counter
from pathlib import Path

import pytest

from sauropod.ingest import arc


def block(url: str, body: bytes) -> bytes:
    return f"{url} 1.2.3.4 20140101000000 text/html {len(body)}\n".encode() + body + b"\n"


def http(body: bytes, *, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\n\r\n".encode() + body


BLOCKS = [
    block("filedesc://x.arc", b"1 0 Made by a test\n"),
    block("http://a.example/1", http(b"one")),
    block("http://a.example/2", http(b"two", status="404 No")),
    block("http://a.example/3", http(b"three" * 100_000)),
    block("http://a.example/4", http(b"four")),
]


@pytest.mark.parametrize("packed", [True, False])
def test_pages(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "x.arc"
    path.write_bytes(b"".join(gzip.compress(b) if packed else b for b in BLOCKS))
    counts: Counter[str] = Counter()
    assert arc.is_arc(path)
    pages = list(arc.pages(path, max_bytes=1000, counts=counts))
    assert [page.url[-1] for page in pages] == ["1", "3", "4"]
    assert [len(page.body) for page in pages] == [3, 1000, 4]
    assert counts == {"page": 3, "not_200": 1}


@pytest.mark.parametrize("packed", [True, False])
def test_damage_is_counted(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "x.arc"
    parts = [gzip.compress(b) if packed else b for b in BLOCKS]
    path.write_bytes(parts[0] + parts[1] + b"rubbish in between\n" + parts[4])
    counts: Counter[str] = Counter()
    assert len(list(arc.pages(path, max_bytes=1000, counts=counts))) == 1
    assert counts == {"page": 1, "damaged": 1}


def test_others_are_no_arc(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"WARC/1.0\r\n")
    assert not arc.is_arc(path)
