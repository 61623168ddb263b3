"""links.py: from pages to the LINKS table, the same whatever the order and the number of files."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sauropod import schema
from sauropod.config import Links
from sauropod.errors import InputError
from sauropod.ingest import links, urls


def record(url: str, html: str, *, head: str = "") -> bytes:
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{head}\r\n".encode() + html.encode()
    lines = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
    lines += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n"
    return gzip.compress(lines.encode() + b"\r\n" + http + b"\r\n\r\n")


def statuses(found: links.Extracted) -> dict[str, str]:
    return dict(found.links.select("url", pl.col("status").cast(pl.String)).iter_rows())


def test_a_page_of_everything(tmp_path: Path) -> None:
    html = """<base href="//cdn.site.example/x/"><img src=a.png><img src="/b.png"><img src=a.png>
    <img srcset="c.png 1x, http://10.0.0.1/d.png 2x"><img src="data:image/gif;base64,R0">
    <img src="http://ads.example/e.png"><img src="javascript:f()"><img src="http://bad host/">"""
    path = tmp_path / "a.warc.gz"
    path.write_bytes(record("http://www.site.example/page", html))
    blocked = tmp_path / "blocked"
    blocked.write_text("ads.example\n")
    found = links.extract([path], kind="warc", knobs=Links(blocked_domains=(str(blocked),)))
    assert statuses(found) == {
        "http://cdn.site.example/x/a.png": "ok",
        "http://cdn.site.example/b.png": "ok",
        "http://cdn.site.example/x/c.png": "ok",
        "http://10.0.0.1/d.png": "private_address",
        "http://ads.example/e.png": "blocked_domain",
        "javascript:f()": "bad_url",
        "http://bad host/": "bad_url",
    }
    assert found.left_out == {"inline": 1, "duplicate_url": 0}
    table = found.links
    assert table["url_key"].is_sorted()
    assert table["url_key"].to_list() == [urls.url_key(url) for url in table["url"]]
    ok = table.filter(pl.col("status") == "ok")
    assert set(ok["domain"]) == {"site.example"}
    assert set(ok["page_url"]) == {"http://www.site.example/page"}
    counts = {(row[0], row[2]): row[3] for row in found.summary("a").iter_rows()}
    assert counts["links", "kept"] == 3
    assert counts["records", "kept"] == 1
    assert sum(rows for (stage, _), rows in counts.items() if stage == "links") == 8


def test_opt_outs_of_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    meta = "<meta name=robots content='noai'><img src=/meta.png><img src=/both.png>"
    path.write_bytes(
        record("http://a.example/1", "<img src=/both.png><img src=/free.png>")
        + record("http://a.example/2", meta)
        + record("http://a.example/3", "<img src=/head.png>", head="X-Robots-Tag: noimageai\r\n")
        + record("http://a.example/4", "<meta name=robots content=noindex><img src=/index.png>")
    )
    found = links.extract([path], kind="warc", knobs=Links())
    short = {url.rsplit("/", 1)[1]: status for url, status in statuses(found).items()}
    assert short == {
        "both.png": "opt_out",  # one page that forbids is enough
        "free.png": "ok",
        "meta.png": "opt_out",
        "head.png": "opt_out",
        "index.png": "ok",
    }
    deaf = links.extract([path], kind="warc", knobs=Links(honour_meta_robots=False))
    assert set(statuses(deaf).values()) == {"ok"}


def test_order_and_number_of_files_change_nothing(tmp_path: Path) -> None:
    blocks = [
        record(f"http://a.example/{i}", f"<img src=/{i % 4}.png><img src=/{i}.jpg>")
        for i in range(8)
    ]
    paths = []
    for i, block in enumerate(blocks):
        paths.append(tmp_path / f"{i}.warc.gz")
        paths[-1].write_bytes(block)
    whole = tmp_path / "whole.warc.gz"
    whole.write_bytes(b"".join(reversed(blocks)))
    first = links.extract(paths, kind="warc", knobs=Links()).links
    assert_frame_equal(first, links.extract(paths[::-1], kind="warc", knobs=Links()).links)
    assert_frame_equal(first, links.extract([whole], kind="warc", knobs=Links()).links)
    parts = [links.extract([path], kind="warc", knobs=Links()).links for path in paths]
    assert_frame_equal(first, links.unique(pl.concat(parts)))
    assert first.height == 12


def test_url_lists(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    values = ["http://A.example/x#y", "http://a.example/x", "/relative", None, "http://10.0.0.1/"]
    pl.DataFrame({"URL": values, "TEXT": ["t"] * 5}).write_parquet(path)
    found = links.extract([path], kind="urls", knobs=Links())
    assert statuses(found) == {
        "http://a.example/x": "ok",
        "/relative": "bad_url",
        "": "bad_url",
        "http://10.0.0.1/": "private_address",
    }
    assert found.left_out["duplicate_url"] == 1


def test_links_of_a_page_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    html = "".join(f"<img src={i}.png>" for i in range(50))
    path.write_bytes(record("http://a.example/", html) + record("urn:x", "<img src=y>"))
    found = links.extract([path], kind="warc", knobs=Links(max_links_per_page=10))
    assert found.links.height == 10


def test_a_page_that_stalls_parsers_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    good = record("http://a.example/2", "<img src=a>")
    path.write_bytes(record("http://a.example/1", "<div>" * 60_000 + "<img src=b>") + good)
    found = links.extract([path], kind="warc", knobs=Links())
    assert found.records == {"page": 1, "too_complex": 1}
    assert found.links["url"].to_list() == ["http://a.example/a"]


def test_no_archive_at_all_is_the_users_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"not an archive\n" * 99)
    with pytest.raises(InputError, match="no readable record"):
        links.extract([path], kind="warc", knobs=Links())


def test_no_files_give_an_empty_table() -> None:
    found = links.extract([], kind="warc", knobs=Links())
    assert found.links.is_empty()
    assert found.links.schema == dict(schema.LINKS.columns)
