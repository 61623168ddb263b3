"""The crawl of a shard against a hostile loopback server: every link ends as one row."""

import asyncio
import hashlib
import os
import signal
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from sauropod import io, schema
from sauropod.config import Ingest
from sauropod.errors import Checkpointed, InputError
from sauropod.ingest import addresses, crawl, urls
from sauropod.ingest.addresses import Place
from sauropod.ingest.fetch import BREAKER
from sauropod.ingest.pack import Row

from .conftest import Web, answer, bomb, drip, endless, picture, redirect, silence

QUICK = Ingest(
    deadline_s=5.0, retries=1, max_bytes=50_000, user_agent="sauropod/0.1 (+mailto:a@b.example)"
)


def table(links: Sequence[str], *, status: Sequence[str] = ()) -> pl.DataFrame:
    """LINKS rows of URLs."""
    return pl.DataFrame(
        {
            "url": list(links),
            "url_key": [urls.url_key(url) for url in links],
            "page_url": ["http://page.test/"] * len(links),
            "domain": ["page.test"] * len(links),
            "status": list(status) or ["ok"] * len(links),
        },
        schema=dict(schema.LINKS.columns),
    )


def run(
    web: Web, links: Sequence[str], tmp_path: Path, *, knobs: Ingest = QUICK, threads: int = 2
) -> list[Row]:
    """Crawl URLs with the test server behind their names."""
    places = addresses.read_hosts([web.hosts_file(tmp_path)])
    tar = tmp_path / "x-00000.tar"
    return crawl.crawl(table(links), tar_path=tar, knobs=knobs, places=places, num_threads=threads)


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


def test_rows_and_tar_keep_the_order_of_the_links(web: Web, tmp_path: Path) -> None:
    files = {
        web.put(f"h{i % 3}.test/{i}.jpg", answer(picture(seed=i))): picture(seed=i)
        for i in range(12)
    }
    places = []
    for threads in (1, 3):
        rows = run(web, list(files), tmp_path, threads=threads)
        assert [row.url for row in rows] == list(files)
        for row in rows:
            assert row.tar
            assert row.offset is not None
            assert row.num_bytes is not None
            data = io.read_range(Path(row.tar), offset=row.offset, num_bytes=row.num_bytes)
            assert data == files[row.url]
            assert row.sha256 == hashlib.sha256(data).hexdigest()
            assert (row.width, row.height, row.format) == (48, 48, "jpeg")
        places.append([(row.offset, row.num_bytes) for row in rows])
    assert places[0] == places[1]
    names = [name for name, _, _ in io.tar_members(tmp_path / "x-00000.tar")]
    assert names == [f"{i:08d}.jpg" for i in range(12)]


def test_robots(web: Web, tmp_path: Path) -> None:
    jpeg = answer(picture())
    rules = b"User-agent: sauropod\nDisallow: /no\nUser-agent: *\nDisallow: /"
    web.put("some.test/robots.txt", answer(rules, kind="text/plain"))
    web.put("down.test/robots.txt", answer(status="503 Down"))
    web.put("far.test/robots.txt", redirect("http://some.test/robots.txt"))
    web.put("mute.test/robots.txt", silence)
    web.put("hang.test/robots.txt", b"")
    web.put("denied.test/robots.txt", answer(status="403 Forbidden"))
    cases = {
        web.put("some.test/no/a.jpg", jpeg): "robots",
        web.put("some.test/yes/a.jpg", jpeg): "ok",
        web.put("some.test/hop", redirect("/no/b.jpg")): "robots",
        web.put("down.test/a.jpg", jpeg): "robots",
        web.put("far.test/no/a.jpg", jpeg): "robots",
        web.put("far.test/yes.jpg", jpeg): "ok",
        web.put("mute.test/a.jpg", jpeg): "timeout",
        web.put("hang.test/a.jpg", jpeg): "connection_error",
        web.put("denied.test/a.jpg", jpeg): "ok",
    }
    rows = run(web, list(cases), tmp_path)
    assert {row.url: row.status for row in rows} == cases
    assert web.asked.count("some.test/robots.txt") == 2  # once itself, once for far.test
    assert not {path for path in web.asked if "/no/" in path}
    assert web.agents == {QUICK.user_agent}
    deaf = replace(QUICK, honour_robots=False)
    rows = run(web, ["http://some.test/no/a.jpg"], tmp_path, knobs=deaf)
    assert rows[0].status == "ok"


def test_a_host_gets_only_its_turns(web: Web, tmp_path: Path) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(answer(picture()))

    links = [web.put(f"one.test/{i}.jpg", slow) for i in range(12)]
    run(web, links, tmp_path, knobs=replace(QUICK, per_host=2, honour_robots=False))
    assert web.most_open["one.test"] == 2


def test_a_dead_host_is_left_alone_after_a_while(web: Web, tmp_path: Path) -> None:
    links = [web.put(f"dead.test/{i}.jpg", b"") for i in range(60)]
    knobs = replace(QUICK, per_host=1, retries=0, honour_robots=False)
    rows = run(web, links, tmp_path, knobs=knobs)
    assert {row.status for row in rows} == {"connection_error"}
    assert len(set(web.asked)) == BREAKER  # aiohttp asks twice when a connection just closes


def test_the_shard_ends_at_its_deadline(web: Web, tmp_path: Path) -> None:
    links = [web.put(f"mute.test/{i}.jpg", silence) for i in range(50)]
    links.append(web.put("ok.test/a.jpg", answer(picture())))
    knobs = replace(QUICK, shard_deadline_s=0.5, deadline_s=60.0, honour_robots=False)
    rows = run(web, links, tmp_path, knobs=knobs)
    assert [row.status for row in rows] == ["timeout"] * 50 + ["ok"]


def test_links_refused_before_stay_refused(web: Web, tmp_path: Path) -> None:
    web.put("a.test/x")
    links = table(["http://a.test/x", "javascript:f()"], status=["opt_out", "bad_url"])
    rows = crawl.crawl(links, tar_path=tmp_path / "x.tar", knobs=QUICK, places={}, num_threads=1)
    assert [row.status for row in rows] == ["opt_out", "bad_url"]
    assert web.asked == []


def test_a_name_that_resolves_to_a_private_address_is_never_asked(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "rebind.example": ["127.0.0.1"],
        "six.example": ["::ffff:10.0.0.1"],
        "meta.example": ["169.254.169.254", "10.1.1.1"],
    }

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host not in found:
            raise socket.gaierror(host)
        return [(2, 1, 6, "", (address, port)) for address in found[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    web.put("here.test/x")
    links = [f"http://{host}/a.jpg" for host in [*found, "gone.example"]]
    for honour in (True, False):
        rows = run(web, links, tmp_path, knobs=replace(QUICK, honour_robots=honour, retries=0))
        statuses = [row.status for row in rows]
        assert statuses == ["private_address"] * 3 + ["connection_error"]
    assert web.asked == []


def test_a_signal_ends_it_cleanly(web: Web, tmp_path: Path) -> None:
    links = [web.put("mute.test/a.jpg", silence), web.put("ok.test/a.jpg", answer(picture()))]
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(Checkpointed):
        run(web, links, tmp_path, knobs=replace(QUICK, deadline_s=30.0))
    timer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["hosts"]


def test_who_asks_must_say_so(web: Web) -> None:
    with pytest.raises(InputError, match="contact"):
        crawl.check_manners(Ingest(), places={})
    crawl.check_manners(Ingest(), places={"a.test": Place("127.0.0.1", 80)})
    crawl.check_manners(QUICK, places={})
