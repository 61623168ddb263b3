"""The web server over loopback: hosts, files, and every way in which it misbehaves."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sauropod.demo.pool import BLOG, CLOSED, GALLERY, SHOP
from sauropod.demo.server import Site, serve
from sauropod.errors import InputError

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def site(world: Path) -> Iterator[Site]:
    with Site(world / "site") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.stopping.set()
        server.shutdown()
        thread.join()


def ask(site: Site, host: str, path: str, *, method: str = "GET") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", site.server_address[1], timeout=10)
    try:
        connection.request(method, path, headers={"Host": host})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read(1 << 20)
    finally:
        connection.close()


def test_files_by_host_with_queries_ignored(site: Site, world: Path) -> None:
    photo = next((world / "site" / GALLERY / "photos").glob("0*.jpg"))
    status, headers, body = ask(site, GALLERY, f"/photos/{photo.name}?size=full&v=2")
    assert (status, headers["content-type"], body) == (200, "image/jpeg", photo.read_bytes())
    assert ask(site, SHOP, f"/photos/{photo.name}")[0] == 404
    assert ask(site, "elsewhere.test", f"/photos/{photo.name}")[0] == 404
    status, headers, body = ask(site, GALLERY, f"/photos/{photo.name}", method="HEAD")
    assert (status, int(headers["content-length"]), body) == (200, photo.stat().st_size, b"")


def test_robots_and_opt_out(site: Site, world: Path) -> None:
    assert b"Disallow: /private/" in ask(site, GALLERY, "/robots.txt")[2]
    assert b"Disallow: /\n" in ask(site, CLOSED, "/robots.txt")[2]
    assert ask(site, BLOG, "/noai/anything.jpg")[0] == 404
    for photo in (world / "site" / BLOG / "noai").glob("0*.jpg"):
        _, headers, _ = ask(site, BLOG, f"/noai/{photo.name}")
        assert headers["x-robots-tag"] == "noai, noimageai"


def test_redirects_errors_and_private_targets(site: Site) -> None:
    status, headers, _ = ask(site, BLOG, "/go/loop1.jpg")
    assert (status, headers["location"]) == (302, f"http://{BLOG}/go/loop2.jpg")
    assert ask(site, BLOG, "/go/meta.jpg")[1]["location"].startswith("http://169.254.169.254/")
    assert ask(site, GALLERY, "/moved/photo.jpg")[0] == 301
    assert [ask(site, SHOP, f"/errors/{code}.jpg")[0] for code in (403, 503)] == [403, 503]
    path, hops = "/chain/0.jpg", 0
    while "/chain/" in path:
        path = ask(site, GALLERY, path)[1]["location"].removeprefix(f"http://{GALLERY}")
        hops += 1
    assert hops == 9


def test_oversize_bodies_come_declared_and_endless(site: Site) -> None:
    _, headers, body = ask(site, SHOP, "/files/huge.jpg")
    assert int(headers["content-length"]) == 80_000_000
    assert len(body) == 1 << 20
    assert body.startswith(b"\xff\xd8\xff")
    assert not body[32:].strip(b"\0")
    _, headers, body = ask(site, SHOP, "/files/endless.jpg")
    assert headers["transfer-encoding"] == "chunked"
    assert len(body) == 1 << 20


def test_no_way_out_of_a_host_folder(site: Site) -> None:
    for path in (
        "/../behaviours.json",
        "/..%2fbehaviours.json",
        f"/../{SHOP}/robots.txt",
        "//etc/passwd",
    ):
        assert ask(site, GALLERY, path)[0] == 404


def test_serve_writes_hosts_and_stops_though_a_client_waits(world: Path, tmp_path: Path) -> None:
    stop, hosts = threading.Event(), tmp_path / "hosts"
    arguments = {"stop": stop}
    thread = threading.Thread(target=serve, args=(world / "site", hosts), kwargs=arguments)
    thread.start()
    waited = threading.Event()
    while not hosts.exists():
        waited.wait(0.01)
    address, *names = hosts.read_text().split()
    assert set(names) >= {GALLERY, SHOP, BLOG, CLOSED}
    host, _, port = address.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", "/slow/never.jpg", headers={"Host": GALLERY})
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    connection.close()


def test_a_folder_that_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder per host"):
        Site(tmp_path)
    (tmp_path / "a.test").mkdir()
    with pytest.raises(InputError, match="behaviours"):
        Site(tmp_path)
