"""The archives, read back by an independent reader (warcio), and what their pages link."""

import base64
import hashlib
from pathlib import Path

import polars as pl
from fastwarc.warc import ArchiveIterator as FastIterator
from selectolax.lexbor import LexborHTMLParser
from warcio.archiveiterator import ArchiveIterator

from sauropod.demo import warc
from sauropod.demo.warc import exchange


def responses(path: Path) -> dict[str, tuple[str, bytes]]:
    """Return status and body of every response, checking the digests on the way."""
    found = {}
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, check_digests="raise"):
            if record.rec_type == "response":
                url = record.rec_headers.get_header("WARC-Target-URI")
                body = record.content_stream().read()
                found[url] = (record.http_headers.get_statuscode(), body)
    return found


def test_a_record_is_one_gzip_member_with_its_digest() -> None:
    made = exchange(
        "http://a.test/x", status="200 OK", content_type="text/html", body=b"hi", second=1
    )
    assert made.count(b"\x1f\x8b\x08") == 2  # a request and a response
    again = exchange(
        "http://a.test/x", status="200 OK", content_type="text/html", body=b"hi", second=1
    )
    assert made == again
    expected = base64.b32encode(hashlib.sha1(b"hi").digest()).decode()
    assert warc._digest(b"hi") == f"sha1:{expected}"


def test_archives_hold_every_page_as_served(world: Path) -> None:
    served = {
        f"http://{p.relative_to(world / 'site')}": p.read_bytes() for p in world.rglob("*.html")
    }
    archived: dict[str, tuple[str, bytes]] = {}
    paths = (world / "crawl.paths").read_text().splitlines()
    for path in paths:
        archived |= responses(Path(path))
        with Path(path).open("rb") as stream:  # the reader that ingest uses sees the same
            kinds = [str(record.record_type) for record in FastIterator(stream)]
        assert "warcinfo" in kinds[0]
    pages = {url: body for url, (code, body) in archived.items() if code == "200"}
    assert {url for url in pages if url.endswith(".html")} == set(served)
    assert all(pages[url] == served[url] for url in served)
    assert any(code == "404" for code, _ in archived.values())


def test_pages_link_every_image_and_no_hidden_one(world: Path, truth: pl.DataFrame) -> None:
    spelt: set[str] = set()
    for page in world.rglob("*.html"):
        tree = LexborHTMLParser(page.read_bytes())
        for node in tree.css("img, source"):
            for value in node.attributes.values():
                spelt |= set((value or "").replace(",", " ").split())
    names = {name.rpartition("/")[2] for name in spelt}
    pool = truth.filter((pl.col("role") == "pool") & (pl.col("status") == "ok"))
    missing = [url for url in pool["name"] if url.rpartition("/")[2] not in names]
    assert missing == []
    assert "commented-out.jpg" not in names
