"""src/links.py: parts of a source, and its command line."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import links
from sauropod import schema
from sauropod.config import Links
from sauropod.errors import InputError

SCRIPT = Path(links.__file__)


def _archive(path: Path, number: int) -> None:
    html = f"<img src=/{number}.png><img src=http://10.0.0.1/x.png>".encode()
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + html
    head = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/\r\n"
    head += f"Content-Type: application/http\r\nContent-Length: {len(http)}\r\n\r\n"
    path.write_bytes(head.encode() + http + b"\r\n\r\n")


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    for number in range(3):
        _archive(tmp_path / f"{number}.warc", number)
    listed = tmp_path / "crawl.paths"
    listed.write_text("0.warc\n1.warc\n2.warc\n")
    return listed


def test_parts(tmp_path: Path, crawl: Path) -> None:
    found = []
    for part in range(2):
        out, summary = tmp_path / f"{part}.parquet", tmp_path / f"{part}.summary.parquet"
        name = f"crawl-0000{part}"
        links.main(crawl, name, out, summary, Links(), kind="warc", part=part, num_parts=2)
        frame = schema.read(out, schema.LINKS)
        counts = schema.read(summary, schema.SUMMARY).filter(pl.col("stage") == "links")
        assert counts["rows"].sum() == frame.height + (1 if part == 0 else 0)
        found += frame["url"].to_list()
    assert sorted(set(found)) == [
        "http://10.0.0.1/x.png",
        *(f"http://a.example/{number}.png" for number in range(3)),
    ]


def test_a_part_out_of_range(tmp_path: Path, crawl: Path) -> None:
    with pytest.raises(InputError, match="--part"):
        links.main(crawl, "x", tmp_path / "o", tmp_path / "s", Links(), part=4, num_parts=2)


@pytest.mark.parametrize("source", ["--help", "none.paths", "broken.warc"])
def test_command_line(tmp_path: Path, source: str) -> None:
    (tmp_path / "broken.warc").write_bytes(b"not an archive\n" * 20)
    outs = ["--shard", "x-00000", "--out", "o/x.parquet", "--summary", "o/s.parquet"]
    words = ["--help"] if source == "--help" else ["--source", source, *outs]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == (0 if source == "--help" else 2), done.stderr
    if source != "--help":
        assert source in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("o/*"))
