"""sources.py: what a path may be, and mistakes."""

from pathlib import Path

import polars as pl
import pytest

from sauropod.errors import InputError
from sauropod.ingest import sources


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for name in ("b.warc.gz", "a.warc", "x.wat.gz", "deep/c.warc.gz", "notes.md", "t.tar"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "set"


def test_a_folder_gives_its_files_sorted(archive: Path) -> None:
    names = [p.relative_to(archive).as_posix() for p in sources.files(archive, kind="warc")]
    assert names == ["a.warc", "b.warc.gz", "deep/c.warc.gz"]
    assert [p.name for p in sources.files(archive, kind="wat")] == ["x.wat.gz"]
    assert [p.name for p in sources.files(archive, kind="tars")] == ["t.tar"]


def test_a_list_names_files_from_here_or_from_its_folder(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = archive / "all.paths"
    listed.write_text("b.warc.gz\n\n# c\na.warc\n")
    assert sources.files(listed, kind="warc") == [archive / "b.warc.gz", archive / "a.warc"]
    monkeypatch.chdir(archive)
    assert sources.files(listed, kind="warc") == [Path("b.warc.gz"), Path("a.warc")]
    assert sources.files(archive / "a.warc", kind="warc") == [archive / "a.warc"]


def test_mistakes(archive: Path) -> None:
    listed = archive / "all.paths"
    listed.write_text("gone.warc\n")
    with pytest.raises(InputError, match=r"gone\.warc"):
        sources.files(listed, kind="warc")
    listed.write_text("\n")
    with pytest.raises(InputError, match="empty list"):
        sources.files(listed, kind="warc")
    with pytest.raises(InputError, match="nothing there"):
        sources.files(archive / "none", kind="warc")
    with pytest.raises(InputError, match="none in it"):
        sources.files(archive / "deep", kind="tars")


def test_parts_share_out_everything() -> None:
    items = [Path(str(i)) for i in range(7)]
    parts = [sources.part_of(items, part=i, num_parts=3) for i in range(3)]
    assert sorted(path for part in parts for path in part) == items
    assert parts[1] == [Path("1"), Path("4")]
    for part in (3, -1):
        with pytest.raises(InputError, match="from 0 to 2"):
            sources.part_of(items, part=part, num_parts=3)


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv", "txt"])
def test_url_tables(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"list.{kind}"
    frame = pl.DataFrame({"url": ["http://a/1", "http://a/2"], "page_url": ["p", None]})
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "txt":
        path.write_text("http://a/1\n\nhttp://a/2\n")
    else:
        frame.write_csv(path, separator="\t" if kind == "tsv" else ",")
    table = sources.url_table(path)
    assert table["url"].to_list() == ["http://a/1", "http://a/2"]
    assert table["page_url"].to_list() == ([None, None] if kind == "txt" else ["p", None])


def test_bad_url_tables(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    pl.DataFrame({"text": ["a"]}).write_parquet(path)
    with pytest.raises(InputError, match="columns text"):
        sources.url_table(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="unreadable"):
        sources.url_table(path)
