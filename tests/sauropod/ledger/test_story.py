"""ledger.story: every stage's word on an image, whichever way it is named."""

import polars as pl
import pytest
from tests.sauropod.ledger.conftest import URLS, TinyRun, sha256

from sauropod import schema
from sauropod.errors import InputError
from sauropod.ledger import story
from sauropod.ledger.catalogue import Catalogue, rows

ONE, TWO, TWIN, THREE, LATE, SAME = URLS


def told(run: TinyRun, url: str) -> story.Story:
    (found,) = story.by_url(Catalogue(run.results), url)
    return found


def texts(found: story.Story, stage: str) -> list[str]:
    return [event.text for event in found.events if event.stage == stage]


def test_a_kept_image_is_followed_to_the_manifest(told_run: TinyRun) -> None:
    found = told(told_run, TWO)
    assert found.image_id == told_run.ids[TWO]
    stages = list(dict.fromkeys(event.stage for event in found.events))
    expected = "links ingest screen hash dedup describe embed cluster retrieve manifest"
    assert stages == expected.split()
    assert texts(found, "links") == [f"ok: {TWO} found on http://p.org/"]
    archives = next(e.facts["archives"] for e in found.events if e.stage == "links")
    assert "crawl.warc.gz" in archives
    assert "unsafe score 0.125, 1 faces (0.75), blurred" in texts(found, "screen")
    assert texts(found, "hash") == ["PCA hash 00000000000000ff"]
    assert texts(found, "dedup") == [f"kept, representative, component {told_run.ids[TWO]}"]
    query = f"{told_run.ids['a/1.jpg']} (a/1.jpg)"
    assert texts(found, "retrieve") == [f"retrieved for set by {query}, rank 1, cosine 0.500"]
    assert texts(found, "manifest") == ["a row of the training set, sample by set"]
    assert "manifest/lvd.parquet" in str(found)


def test_a_copy_names_its_evidence(told_run: TinyRun) -> None:
    two = f"{told_run.ids[TWO]} ({TWO})"
    found = told(told_run, TWIN)
    component = told_run.ids[TWO]
    assert texts(found, "dedup") == [f"dropped, copy, component {component}: {two}, cosine 0.875"]
    assert texts(found, "link") == [f"near {two}, cosine 0.875"]
    assert texts(found, "manifest") == []
    same = f"{told_run.ids[ONE]} ({ONE})"
    assert f"dropped: same hash as {same}" in texts(told(told_run, SAME), "hash")


def test_a_curated_image_names_what_it_brought(told_run: TinyRun) -> None:
    found = told(told_run, "a/1.jpg")
    assert len(texts(found, "retrieve")) == 2
    assert texts(found, "manifest") == ["a row of the training set, as_is by set"]


def test_a_failed_download_is_told(told_run: TinyRun) -> None:
    assert texts(told(told_run, LATE), "ingest") == [f"dropped, timeout: {LATE}"]


def test_id_url_and_bytes_tell_the_same(told_run: TinyRun) -> None:
    tables = Catalogue(told_run.results)
    for url in (ONE, THREE):
        by_url = story.by_url(tables, url.replace("http://", "HTTP://") + "#top")
        assert by_url == story.by_id(tables, told_run.ids[url])
        for data in (told_run.data[url], b"raw" + told_run.data[url]):
            assert story.by_sha256(tables, sha256(data)) == by_url


def test_never_seen_is_one_sentence(told_run: TinyRun) -> None:
    tables = Catalogue(told_run.results)
    with pytest.raises(InputError, match=r"--image-id 77309411328: .* found none"):
        story.by_id(tables, 18 << 32)
    with pytest.raises(InputError, match="--url http://nowhere"):
        story.by_url(tables, "http://nowhere.org/")
    with pytest.raises(InputError, match="--sha256 00"):
        story.by_sha256(tables, "00")


def test_a_link_that_was_never_asked_for_is_told(tiny_run: TinyRun) -> None:
    for path in tiny_run.results.glob("ingest/*.parquet"):
        path.unlink()
    for path in tiny_run.results.glob("screen/*.parquet"):
        path.unlink()
    found = told(tiny_run, ONE)
    assert found.image_id is None
    assert str(found).startswith("a link\n  links  ok:")


def test_an_id_leads_to_one_file_of_each_series(told_run: TinyRun) -> None:
    tables = Catalogue(told_run.results)
    here = [told_run.ids[ONE] >> 32]
    for table in (schema.IMAGES, schema.SCREENED, schema.PCA_HASHES, schema.DESCRIPTORS):
        names = {path.name.partition(".")[0] for path in tables.files(table, shards=here)}
        assert names <= {f"crawl-{here[0]:05d}", f"set-{here[0]:05d}"}
        assert len(tables.files(table)) > len(tables.files(table, shards=here))
    assert len(tables.files(schema.COPIES, shards=here)) == 1


def test_rows_leave_vectors_out(told_run: TinyRun) -> None:
    (path, *_) = Catalogue(told_run.results).files(schema.EMBEDDINGS)
    assert set(rows(path, schema.EMBEDDINGS, pl.lit(True))[0]) == {"image_id"}


def test_a_folder_without_tables_is_one_sentence(tiny_run: TinyRun) -> None:
    with pytest.raises(InputError, match="a folder of results"):
        Catalogue(tiny_run.folder / "nowhere")
    (tiny_run.folder / "empty").mkdir()
    with pytest.raises(InputError, match="tables of a run"):
        Catalogue(tiny_run.folder / "empty")
