"""ledger.refusals: what was forgotten is refused by URL, domain and bytes, in clear nowhere."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from tests.sauropod.ledger.conftest import sha256

from sauropod import io, schema
from sauropod.ledger.refusals import Refusals, digest, record

DAYS = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]
WORDS = {("url", digest("http://a.org/1")), ("domain", digest("b.org")), ("sha256", sha256(b"x"))}


def images(tar: Path) -> pl.DataFrame:
    with io.TarWriter(tar) as writer:
        offsets = [writer.add(f"{i}.jpg", data) for i, data in enumerate((b"x", b"yy", b"zz"))]
    columns = {
        "url": ["http://c.org/1", "http://a.org/1", "http://c.org/2"],
        "sha256": [sha256(data) for data in (b"x", b"yy", b"zz")],
        "tar": [str(tar)] * 3,
        "offset": offsets,
        "num_bytes": [1, 2, 2],
        "status": ["ok"] * 3,
    }
    rest = {name: [None] * 3 for name in schema.IMAGES.columns if name not in columns}
    return pl.DataFrame({**columns, **rest}, schema=dict(schema.IMAGES.columns), strict=False)


def test_a_ledger_keeps_the_first_date_and_no_text(tmp_path: Path) -> None:
    path = tmp_path / "forgotten.parquet"
    for day in DAYS:
        record(path, WORDS, at=day, made_by={"stage": "test"})
    frame = schema.read(path, schema.FORGOTTEN)
    assert set(frame["forgotten_at"]) == {DAYS[0]}
    assert frame.height == 3
    assert b".org" not in path.read_bytes()
    assert Refusals.read(path).known == WORDS


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://a.org/1", True),
        ("http://a.org/2", False),
        ("http://b.org/2", True),
        ("https://img.b.org:8080/", True),
        ("http://notb.org/", False),
        ("folder/b.org", False),
        ("mailto://x", False),
    ],
)
def test_urls_and_hosts_below_a_domain(url: str, refused: bool) -> None:
    assert Refusals(frozenset(WORDS)).url(url) is refused


def test_links_are_not_asked_for_and_bytes_do_not_stay(tmp_path: Path) -> None:
    tar = tmp_path / "a.tar"
    before = images(tar)
    refusals = Refusals(frozenset(WORDS))
    after = refusals.images(before, tar=tar)
    assert after["status"].to_list() == ["forgotten", "forgotten", "ok"]
    assert after["url"].to_list() == [None, None, "http://c.org/2"]
    assert after.schema == before.schema
    data = tar.read_bytes()
    assert b"yy" not in data
    assert b"zz" in data
    links = refusals.links(before.select("url", "status"))
    assert links["status"].to_list() == ["ok", "forgotten", "ok"]


def test_the_users_tars_are_not_written(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.tar", tmp_path / "ours.tar"
    frame = images(theirs)
    ours.write_bytes(b"")
    before = theirs.read_bytes()
    assert Refusals(frozenset(WORDS)).images(frame, tar=ours)["status"][1] == "forgotten"
    assert theirs.read_bytes() == before


def test_no_ledger_refuses_nothing(tmp_path: Path) -> None:
    frame = images(tmp_path / "a.tar")
    refusals = Refusals.read(tmp_path / "none.parquet")
    assert refusals.images(frame, tar=tmp_path / "a.tar").equals(frame)
