"""http_body.py: chunks and compression, also wrongly declared and hostile."""

import gzip
import zlib

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.ingest import http_body

TEXT = b"<img src=a.png>" * 50
RAW = zlib.compressobj(wbits=-15)
CODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "br": brotli.compress(TEXT),
}


@pytest.mark.parametrize("encoding", CODED)
def test_codings(encoding: str) -> None:
    head = {"content-encoding": [encoding]}
    assert http_body.decode(CODED[encoding], fields=head, max_bytes=10_000) == TEXT
    assert http_body.decode(TEXT, fields=head, max_bytes=10_000) == TEXT  # declared, not done
    assert http_body.decode(CODED[encoding], fields=head, max_bytes=20) == TEXT[:20]


def test_raw_deflate_and_stacked_codings() -> None:
    raw = RAW.compress(TEXT) + RAW.flush()
    assert http_body.decompress(raw, encoding="deflate", max_bytes=10_000) == TEXT
    twice = brotli.compress(gzip.compress(TEXT))
    head = {"content-encoding": ["gzip, br"]}
    assert http_body.decode(twice, fields=head, max_bytes=10_000) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_bombs_stop_at_the_limit(encoding: str) -> None:
    zeros = b"\0" * 30_000_000
    bomb = gzip.compress(zeros) if encoding == "gzip" else brotli.compress(zeros, quality=1)
    out = http_body.decompress(bomb, encoding=encoding, max_bytes=1000)
    assert len(out) < 1_000_000


def test_a_cut_stream_gives_what_it_holds() -> None:
    out = http_body.decompress(CODED["gzip"][:-12], encoding="gzip", max_bytes=10_000)
    assert out
    assert TEXT.startswith(out)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.sampled_from([b"\r\n", b"\n"]))
def test_chunks_join(parts: list[bytes], end: bytes) -> None:
    body = b"".join(b"%X;x=y" % len(p) + end + p + end for p in parts) + b"0" + end + end
    assert http_body.unchunk(body) == b"".join(parts)


@pytest.mark.parametrize("body", [TEXT, b"", b"zz\r\nx", b"ffffffffff\r\nx"])
def test_what_is_not_chunked_stays(body: bytes) -> None:
    assert http_body.unchunk(body) == body


def test_fields() -> None:
    head = b"HTTP/1.1 200 OK\r\nA: 1\r\na:2\r\n folded\r\nnonsense\r\n: x\r\nB : y:z"
    assert http_body.fields(head) == {"a": ["1", "2"], "b": ["y:z"]}
