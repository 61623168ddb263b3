"""archives.py against warcio as another reader, and against damage."""

import gzip
from collections import Counter
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from sauropod.ingest import archives


def record(
    body: bytes,
    *,
    url: str = "http://a.example/",
    head: str = "",
    status: str = "200 OK",
    kind: str = "text/html",
) -> bytes:
    """A WARC response record by hand."""
    http = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{head}\r\n".encode() + body
    lines = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
    lines += "Content-Type: application/http; msgtype=response\r\n"
    return f"{lines}Content-Length: {len(http)}\r\n\r\n".encode() + http + b"\r\n\r\n"


def read(path: Path, *, max_bytes: int = 10_000) -> tuple[list[archives.Page], Counter[str]]:
    counts: Counter[str] = Counter()
    return list(archives.pages(path, max_bytes=max_bytes, counts=counts)), counts


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_reads_what_warcio_reads(tmp_path: Path, packed: bool) -> None:
    kinds = ["text/html; charset=koi8-r", "image/png"] * 3
    blocks = [
        record(
            b"<img src=%d>" % i, url=f"http://a.example/{i}", head="X-Robots-Tag: noai\r\n", kind=k
        )
        for i, k in enumerate(kinds)
    ]
    data = b"".join(gzip.compress(b) if packed else b for b in blocks)
    expected = []
    with write(tmp_path / "a.warc", data).open("rb") as file:
        for found in ArchiveIterator(file):
            if "html" in found.http_headers.get_header("Content-Type"):
                url = found.rec_headers.get_header("WARC-Target-URI")
                expected.append((url, found.content_stream().read()))
    pages, counts = read(tmp_path / "a.warc")
    assert [(page.url, page.body) for page in pages] == expected
    assert pages[0].charset == "koi8-r"
    assert pages[0].robots == ("noai",)
    assert counts == {"page": 3, "not_html": 3}


def test_records_that_are_no_pages_are_counted(tmp_path: Path) -> None:
    data = record(b"a") + record(b"b", status="404 No") + record(b"c", status="301 Moved")
    data += record(b"d", kind="image/gif")
    data += record(b"e").replace(b"WARC-Type: response", b"WARC-Type: revisit")
    data += record(b"f").replace(b"HTTP/1.1 200", b"SMTP/1.1 abc")
    pages, counts = read(write(tmp_path / "a.warc", data))
    assert [page.body for page in pages] == [b"a"]
    assert counts == {"page": 1, "not_200": 2, "not_html": 1, "revisit": 1, "not_http": 1}


def test_chunked_and_compressed_and_neither(tmp_path: Path) -> None:
    body = gzip.compress(b"hello")
    chunked = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    head = "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
    data = record(chunked, head=head) + record(b"hello", head=head)
    pages, _ = read(write(tmp_path / "a.warc", data))
    assert [page.body for page in pages] == [b"hello", b"hello"]


@pytest.mark.parametrize("packed", [True, False])
def test_damage_costs_only_what_it_hits(tmp_path: Path, packed: bool) -> None:
    good = [record(b"x" * 50, url=f"http://a.example/{i}") for i in range(5)]
    blocks = [gzip.compress(one) if packed else one for one in good]
    blocks[2] = blocks[2][:30] + b"\xff" * 40 + blocks[2][70:]
    pages, counts = read(write(tmp_path / "a.warc.gz", b"".join(blocks)))
    urls = [page.url[-1] for page in pages]
    assert set("0134") <= set(urls)
    assert "".join(urls) == "".join(sorted(urls))
    assert counts["page"] == len(urls)
    assert counts["damaged"] == (1 if packed else counts["damaged"])


@pytest.mark.parametrize("cut", [1, 8, 60, 150])
@pytest.mark.parametrize("packed", [True, False])
def test_a_truncated_archive_gives_what_is_left(tmp_path: Path, cut: int, packed: bool) -> None:
    one = record(b"x" * 100)
    one = gzip.compress(one) if packed else one
    pages, _ = read(write(tmp_path / "a.warc", (one * 3)[:-cut]))
    assert len(pages) >= 2
    assert pages[0].body == b"x" * 100


def test_hostile_records_are_bounded(tmp_path: Path) -> None:
    bomb = record(gzip.compress(b"\0" * 20_000_000), head="Content-Encoding: gzip\r\n")
    long_head = record(b"a", head=f"X: {'a' * 1_000_000}\r\n")
    data = bomb + long_head + record(b"z" * 3_000_000) + record(b"last")
    pages, counts = read(write(tmp_path / "a.warc", data), max_bytes=1000)
    assert [len(page.body) <= 1000 for page in pages] == [True] * len(pages)
    assert pages[-1].body == b"last"
    assert sum(counts.values()) == 4


@pytest.mark.parametrize("data", [b"", b"hello world\n" * 100, b"\x1f\x8b\x08" * 50])
def test_what_is_no_archive_has_no_pages(tmp_path: Path, data: bytes) -> None:
    pages, counts = read(write(tmp_path / "a.warc", data))
    assert pages == []
    assert counts["damaged"] <= 1
