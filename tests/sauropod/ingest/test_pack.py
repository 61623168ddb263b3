"""pack.py: validation, ordered threads, the IMAGES table and its summary."""

import hashlib
import threading
from collections import Counter

import pytest

from sauropod import schema
from sauropod.config import Ingest
from sauropod.ingest import pack
from sauropod.ingest.pack import Facts, Row

from .conftest import bomb, picture

KNOBS = Ingest(min_side=32, max_bytes=100_000)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", Facts(status="not_an_image")),
        (b"x" * 100_001, Facts(status="too_large")),
        (bomb(), Facts(status="too_many_pixels")),
        (
            picture(side=16, kind="PNG"),
            Facts(status="too_small", width=16, height=16, format="png"),
        ),
        (picture()[:-200], Facts(status="truncated", width=48, height=48, format="jpeg")),
    ],
)
def test_refused(data: bytes, expected: Facts) -> None:
    assert pack.validate(data, knobs=KNOBS) == expected


def test_accepted() -> None:
    data = picture(kind="WEBP")
    digest = hashlib.sha256(data).hexdigest()
    expected = Facts(status="ok", width=48, height=48, format="webp", sha256=digest)
    assert pack.validate(data, knobs=KNOBS) == expected


@pytest.mark.parametrize("num_threads", [1, 4])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_threads_keep_the_order_and_read_little_ahead(num_threads: int, count: int) -> None:
    read: list[int] = []
    ahead: list[int] = []
    gate = threading.Event()
    gate.set()

    def items() -> list[int]:
        for i in range(count):
            read.append(i)
            yield i

    for i, (item, result) in enumerate(
        pack.ordered(lambda i: i * i, items(), num_threads=num_threads)
    ):
        ahead.append(len(read) - i)
        assert (item, result) == (i, i * i)
    assert len(read) == count
    assert max(ahead, default=0) <= 2 * num_threads


def test_table_and_summary() -> None:
    rows = [
        Row(url="a", status="ok", width=3, tar="x.tar", offset=512, num_bytes=9, sha256="0"),
        Row(url="b", status="timeout"),
        Row(url="c", status="timeout"),
    ]
    table = pack.frame(rows, source="crawl", number=5)
    assert table.schema == dict(schema.IMAGES.columns)
    assert table["image_id"].to_list() == [5 << 32, (5 << 32) + 1, (5 << 32) + 2]
    assert set(table["source"]) == {"crawl"}
    summary = pack.summary(table, shard="crawl-00005", dropped=Counter(duplicate_url=4))
    counts = dict(summary.select("reason", "rows").iter_rows())
    assert counts == {"kept": 1, "timeout": 2, "duplicate_url": 4}
    assert pack.frame([], source="x", number=0).schema == dict(schema.IMAGES.columns)


def test_member_names() -> None:
    assert pack.member_name(7, kind="jpeg") == "00000007.jpg"
    assert pack.member_name(7, kind="webp") == "00000007.webp"
