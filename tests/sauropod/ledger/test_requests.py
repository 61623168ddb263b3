"""ledger.requests: lists of URLs, domains and digests become conditions on rows."""

from pathlib import Path

import polars as pl
import pytest

from sauropod.errors import InputError
from sauropod.ledger.refusals import digest
from sauropod.ledger.requests import Requests, read


def test_lists_are_read_in_normal_form(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("HTTP://A.org/x#y\nfolder/1.jpg\n")
    (tmp_path / "domains.txt").write_text("# owners asked\n*.B.org\n")
    (tmp_path / "digests.txt").write_text("AB" * 32 + "\n\n")
    found = read(
        [tmp_path / "urls.txt"],
        domain_files=[tmp_path / "domains.txt"],
        sha256_files=[tmp_path / "digests.txt"],
    )
    assert found.urls == {"http://a.org/x", "folder/1.jpg"}
    assert found.domains == {"b.org"}
    assert found.sha256s == {"ab" * 32}
    assert ("domain", digest("b.org")) in found.words()


def test_conditions() -> None:
    frame = pl.DataFrame(
        {
            "url": ["http://a.org/x", "http://c.b.org/", "http://cb.org/", None, "folder/1"],
            "sha256": ["1", "2", "3", "4", None],
        }
    )
    requests = Requests(
        urls=frozenset(["http://a.org/x"]),
        domains=frozenset(["b.org"]),
        sha256s=frozenset(["4"]),
    )
    chosen = [
        frame.select(requests.match(with_bytes=b)).to_series().to_list() for b in (True, False)
    ]
    assert chosen == [[True, True, False, True, False], [True, True, False, False, False]]


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="something to forget"):
        read([], domain_files=[], sha256_files=[])
    with pytest.raises(InputError, match="no such file"):
        read([], domain_files=[], sha256_files=[tmp_path / "none"])
    (tmp_path / "d.txt").write_text("abc\n")
    with pytest.raises(InputError, match="64 hex digits"):
        read([], domain_files=[], sha256_files=[tmp_path / "d.txt"])
