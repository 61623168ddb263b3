"""src/ingest.py: from a website on loopback, from a folder, from tars; and its command line."""

import hashlib
import http.server
import io as std_io
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import ingest
import links
from sauropod import io, schema
from sauropod.config import Ingest, Links
from sauropod.errors import InputError
from sauropod.ledger.refusals import digest, record

SCRIPT = Path(ingest.__file__)
KNOBS = Ingest(deadline_s=5.0, retries=0)


def _png(seed: int) -> bytes:
    rng = np.random.Generator(np.random.Philox(key=seed))
    buffer = std_io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A website of six images, one of them broken; gives its hosts file."""
    folder = tmp_path / "site"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.png").write_bytes(_png(i) if i else b"broken")
    handler = partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        hosts = tmp_path / "hosts"
        hosts.write_text(f"127.0.0.1:{server.server_address[1]} site.test\n")
        yield hosts
        server.shutdown()
        thread.join()


def _places(tmp_path: Path, name: str) -> dict[str, Path]:
    folder = tmp_path / "out"
    return {
        "out": folder / f"{name}.parquet",
        "out_tar": folder / f"{name}.tar",
        "summary": folder / f"{name}.summary.parquet",
    }


def _check(places: dict[str, Path]) -> pl.DataFrame:
    """Every good row's bytes are where it says; counts add up; nothing is left lying about."""
    table = schema.read(places["out"], schema.IMAGES)
    for row in table.filter(pl.col("status") == "ok").iter_rows(named=True):
        data = io.read_range(Path(row["tar"]), offset=row["offset"], num_bytes=row["num_bytes"])
        assert data.startswith(b"\x89PNG")
    counts = dict(schema.read(places["summary"], schema.SUMMARY)["reason", "rows"].iter_rows())
    assert counts.pop("kept") == table.filter(pl.col("status") == "ok").height
    counts.pop("duplicate_url", 0)
    assert sum(counts.values()) == table.filter(pl.col("status") != "ok").height
    names = {path.name for path in places["out"].parent.iterdir()}
    assert {name for name in names if name.startswith(".")} == set()
    return table


def test_from_the_web(tmp_path: Path, site: Path) -> None:
    urls = [f"http://site.test/{i}.png" for i in range(7)] + ["http://127.0.0.1/x.png"]
    listed = tmp_path / "urls.parquet"
    pl.DataFrame({"url": urls * 2}).write_parquet(listed)
    found = [tmp_path / f"{i}.links.parquet" for i in range(2)]
    for path in found:
        links.main(listed, "w", path, tmp_path / "s.parquet", Links(), kind="urls")
    tables = []
    for part in range(2):
        places = _places(tmp_path, f"web-0000{part}")
        which = {"part": part, "num_parts": 2, "shard_number": 8 + part, "hosts": (site,)}
        ingest.main("web", f"web-0000{part}", knobs=KNOBS, links=tuple(found), **which, **places)
        tables.append(_check(places))
        assert set(tables[-1]["image_id"] // 2**32) <= {8 + part}
    table = pl.concat(tables)
    statuses = dict(table.select("url", pl.col("status").cast(pl.String)).iter_rows())
    expected = dict.fromkeys(urls, "ok")
    expected |= {urls[0]: "not_an_image", urls[6]: "http_error", urls[7]: "private_address"}
    assert statuses == expected


def test_from_a_folder_and_from_tars(tmp_path: Path, site: Path) -> None:
    folder = tmp_path / "site"
    places = _places(tmp_path, "mine-00000")
    ingest.main("mine", "mine-00000", 3, knobs=KNOBS, folder=folder, **places)
    table = _check(places)
    assert table["url"].to_list() == [f"{i}.png" for i in range(6)]
    assert table["image_id"][1] == (3 << 32) + 1
    again = _places(tmp_path, "again-00000")
    ingest.main("again", "again-00000", 4, knobs=KNOBS, tars=places["out_tar"], **again)
    indexed = _check(again)
    assert indexed["sha256"].to_list() == table["sha256"].drop_nulls().to_list()
    assert set(indexed["tar"]) == {str(places["out_tar"])}
    assert list(io.tar_members(again["out_tar"])) == []


def test_what_was_forgotten_does_not_come_back(tmp_path: Path, site: Path) -> None:
    ledger = tmp_path / "forgotten.parquet"
    bytes_of_two = hashlib.sha256(_png(2)).hexdigest()
    words = {("url", digest("http://site.test/1.png")), ("sha256", bytes_of_two)}
    record(ledger, words, at=datetime.now(UTC), made_by={"stage": "test"})
    listed, found = tmp_path / "urls.parquet", tmp_path / "x.links.parquet"
    urls = [f"http://site.test/{i}.png" for i in range(1, 4)]
    pl.DataFrame({"url": urls}).write_parquet(listed)
    links.main(listed, "w", found, tmp_path / "s.parquet", Links(), kind="urls")
    places = _places(tmp_path, "web-00000")
    which = {"shard_number": 0, "hosts": (site,), "forgotten": ledger}
    ingest.main("web", "web-00000", knobs=KNOBS, links=(found,), **which, **places)
    table = _check(places)
    assert table.filter(status="ok")["url"].to_list() == urls[2:]
    assert table.filter(status="forgotten")["url"].to_list() == [None, None]
    data = places["out_tar"].read_bytes()
    assert [_png(i) in data for i in (1, 2, 3)] == [False, False, True]


def test_one_input_and_a_name(tmp_path: Path) -> None:
    places = _places(tmp_path, "x-00000")
    with pytest.raises(InputError, match="--links, --folder, --tars"):
        ingest.main("x", "x-00000", 0, knobs=KNOBS, **places)
    path = tmp_path / "l.parquet"
    schema.write(pl.DataFrame(schema=dict(schema.LINKS.columns)), path, schema.LINKS, made_by={})
    with pytest.raises(InputError, match="user_agent"):
        ingest.main("x", "x-00000", 0, knobs=KNOBS, links=(path,), **places)


@pytest.mark.parametrize("words", [["--help"], ["--folder", "none"], ["--links", "bad.parquet"]])
def test_command_line(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"nonsense")
    if words != ["--help"]:
        words = [*words, "--source", "x", "--shard", "x-00000", "--shard-number", "0"]
        words += ["--out", "o/x.parquet", "--out-tar", "o/x.tar", "--summary", "o/s.parquet"]
        words += ["--user-agent", "me/1.0 (+mailto:me@site.example)", "--hosts"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == (0 if words == ["--help"] else 2), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("o/*"))
