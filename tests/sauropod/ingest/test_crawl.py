"""The crawl of a shard against a hostile loopback server: every link ends as one row."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sauropod import schema
from sauropod.config import Ingest
from sauropod.ingest import addresses, crawl, urls
from sauropod.ingest.pack import Row

from .conftest import Web, answer, bomb, drip, endless, picture, redirect, silence

QUICK = Ingest(
    deadline_s=1.0, retries=1, max_bytes=50_000, user_agent="sauropod/0.1 (+mailto:a@b.example)"
)


def run(
    web: Web, links: Sequence[str], tmp_path: Path, *, knobs: Ingest = QUICK, threads: int = 2
) -> list[Row]:
    """Crawl URLs with the test server behind their names."""
    frame = pl.DataFrame(
        {
            "url": list(links),
            "url_key": [urls.url_key(url) for url in links],
            "page_url": ["http://page.test/"] * len(links),
            "domain": ["page.test"] * len(links),
            "status": ["ok"] * len(links),
        },
        schema=dict(schema.LINKS.columns),
    )
    places = addresses.read_hosts([web.hosts_file(tmp_path)])
    tar = tmp_path / "x-00000.tar"
    return crawl.crawl(frame, tar_path=tar, knobs=knobs, places=places, num_threads=threads)


def test_every_behaviour_ends_as_one_status(web: Web, tmp_path: Path) -> None:
    jpeg = picture()
    cases = {
        web.put("ok.test/a.jpg", answer(jpeg)): "ok",
        web.put("ok.test/b.png", answer(picture(kind="PNG"), kind="image/png")): "ok",
        web.put("ok.test/octet", answer(jpeg, kind="application/octet-stream")): "ok",
        web.put("ok.test/missing"): "http_error",
        web.put("ok.test/500", answer(status="500 No")): "http_error",
        web.put(
            "ok.test/later", answer(status="503 Busy", head="Retry-After: 0\r\n"), answer(jpeg)
        ): "ok",
        web.put(
            "ok.test/429", answer(status="429 Slow", head="Retry-After: 0\r\n"), answer(jpeg)
        ): "ok",
        web.put("ok.test/gone", answer(status="410 Gone"), answer(jpeg)): "http_error",
        web.put("slow.test/loris", drip): "timeout",
        web.put("mute.test/silent", silence): "timeout",
        web.put("ok.test/endless", endless): "too_large",
        web.put("ok.test/big", answer(b"\xff\xd8\xff" + b"\0" * 60_000)): "too_large",
        web.put("ok.test/html", answer(b"<html>", kind="text/html")): "not_an_image",
        web.put("ok.test/lie", answer(b"<html>" * 20)): "not_an_image",
        web.put("ok.test/nothing", answer()): "not_an_image",
        web.put("ok.test/svg", answer(b"<svg/>" * 9, kind="image/svg+xml")): "not_an_image",
        web.put("ok.test/bomb", answer(bomb(), kind="image/png")): "too_many_pixels",
        web.put("ok.test/cut", answer(jpeg[: len(jpeg) * 2 // 3])): "truncated",
        web.put("ok.test/tiny", answer(picture(side=16))): "too_small",
        web.put("ok.test/noai", answer(jpeg, head="X-Robots-Tag: noai\r\n")): "opt_out",
        web.put("ok.test/other", answer(jpeg, head="X-Robots-Tag: otherbot: noai\r\n")): "ok",
        web.put("ok.test/tdm", answer(jpeg, head="tdm-reservation: 1\r\n")): "opt_out",
        web.put("ok.test/to", redirect("/a.jpg")): "ok",
        web.put("ok.test/loop", redirect("/loop")): "too_many_redirects",
        web.put("ok.test/in", redirect("http://127.0.0.1/a.jpg")): "private_address",
        web.put("ok.test/meta", redirect("http://169.254.169.254/latest")): "private_address",
        web.put("ok.test/hex", redirect("http://0x7f.1/")): "private_address",
        web.put("ok.test/six", redirect("http://[::ffff:10.0.0.1]/")): "private_address",
        web.put("ok.test/local", redirect("http://localhost/")): "private_address",
        web.put("ok.test/file", redirect("file:///etc/passwd")): "bad_url",
        web.put("ok.test/port", redirect("http://8.8.8.8:22/")): "bad_url",
        web.put("ok.test/garbled", b"\x00\x01nonsense\r\n\r\n"): "http_error",
        web.put("ok.test/hangup", b""): "connection_error",
        web.put(
            "ok.test/short", answer(jpeg).replace(b"Content-Length: ", b"Content-Length: 1")
        ): "connection_error",
    }
    rows = run(web, list(cases), tmp_path)
    assert {row.url: row.status for row in rows} == cases
