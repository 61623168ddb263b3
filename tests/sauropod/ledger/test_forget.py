"""ledger.forget: the bytes and every row are gone, the rest is as it was, crash or not."""

import json
import tarfile
from datetime import UTC, datetime

import faiss
import numpy as np
import polars as pl
import pytest
from tests.sauropod.ledger.conftest import URLS, TinyRun, sha256

from sauropod import io, schema
from sauropod.dedup import parts
from sauropod.errors import InputError
from sauropod.ledger import forget, refusals, trained
from sauropod.ledger.catalogue import Catalogue
from sauropod.ledger.requests import Requests
from sauropod.retrieve.vectors import StoredVectors

AT = datetime(2026, 1, 2, tzinfo=UTC)
NAMED = ("image_id", "neighbour_id")


def forgotten(run: TinyRun, requests: Requests) -> forget.Done:
    tables = Catalogue(run.results)
    return forget.apply(tables, forget.find(tables, requests), requests, at=AT)


def every_table(run: TinyRun) -> dict[str, pl.DataFrame]:
    files = sorted(p for p in run.results.rglob("*.parquet") if "forget" not in p.parts)
    return {str(path.relative_to(run.results)): pl.read_parquet(path) for path in files}


def bytes_of(run: TinyRun) -> bytes:
    return b"".join(p.read_bytes() for p in run.results.rglob("*") if p.is_file())


def test_a_url_is_gone_from_everything(tiny_run: TinyRun) -> None:
    url, kept = URLS[0], URLS[1]
    before, times, old = every_table(tiny_run), tiny_run.times(), tiny_run.ids[url]
    assert url.encode() in bytes_of(tiny_run)
    done = forgotten(tiny_run, Requests(urls=frozenset([url])))
    assert done.images == 1
    assert done.num_bytes == len(b"raw" + tiny_run.data[url]) + len(tiny_run.data[url])
    assert tiny_run.data[url] not in bytes_of(tiny_run)
    assert tiny_run.data[kept] in bytes_of(tiny_run)
    for name, frame in every_table(tiny_run).items():
        text = str(frame.rows())
        assert url not in text, name
        marks = "status" in frame.columns
        ids = [i for column in NAMED if column in frame.columns for i in frame[column]]
        assert marks or old not in ids, name
        assert before[name].height == frame.height + (0 if marks else done.rows.get(name, 0)), name
        others = before[name].rows()
        assert sum(row in others for row in frame.rows()) == before[name].height - done.rows.get(
            name, 0
        )
    assert tiny_run.times() == times, "Snakemake would do everything again"


def test_rows_in_are_rows_out_and_reasons(tiny_run: TinyRun) -> None:
    before = {name: frame.height for name, frame in every_table(tiny_run).items()}
    forgotten(tiny_run, Requests(urls=frozenset([URLS[0]])))
    forgotten(tiny_run, Requests(urls=frozenset([URLS[1]])))
    summary = tiny_run.read("forget/summary.parquet", schema.SUMMARY)
    totals = dict(summary.group_by("shard").agg(pl.col("rows").sum()).iter_rows())
    assert totals == {name: before[name] for name in totals}
    gone = dict(summary.filter(reason="forgotten").select("shard", "rows").iter_rows())
    assert gone["manifest/lvd.parquet"] == 2
    assert gone["retrieve/set.parquet"] == 2
    assert (
        gone[
            "link/crawl-00000.parquet"
            if before.get("link/crawl-00000.parquet")
            else "link/crawl-00001.parquet"
        ]
        == 1
    )
    left = tiny_run.read("manifest/lvd.parquet", schema.MANIFEST)
    assert left["url"].to_list() == ["a/1.jpg"]
    metadata = pl.read_parquet_metadata(tiny_run.results / "manifest/lvd.parquet")
    assert metadata["rows"] == "1"
    assert metadata["stage"] == "test"


def test_tars_stay_legal_and_offsets_true(tiny_run: TinyRun) -> None:
    forgotten(tiny_run, Requests(urls=frozenset([URLS[0]])))
    seen = 0
    for part in (0, 1):
        images = tiny_run.read(f"screen/crawl-{part:05d}.parquet", schema.IMAGES)
        with tarfile.open(tiny_run.results / f"screen/crawl-{part:05d}.tar") as tar:
            assert (
                len(tar.getmembers())
                == images.filter(pl.col("status").is_in(["ok", "forgotten"])).height
            )
        for row in images.filter(status="ok").iter_rows(named=True):
            path = tiny_run.folder / row["tar"]
            data = io.read_range(path, offset=row["offset"], num_bytes=row["num_bytes"])
            assert sha256(data) == row["sha256"]
            seen += 1
    assert seen == len(URLS) - 2


def test_a_domain_takes_the_hosts_below_it(tiny_run: TinyRun) -> None:
    done = forgotten(tiny_run, Requests(domains=frozenset(["two.org"])))
    assert done.images == 2
    left = {
        url for name, f in every_table(tiny_run).items() if "url" in f.columns for url in f["url"]
    }
    assert left == {URLS[0], *URLS[3:], "a/1.jpg", "a/2.jpg", None}


@pytest.mark.parametrize("raw", [True, False])
def test_bytes_before_and_after_screening_name_the_same_image(tiny_run: TinyRun, raw: bool) -> None:
    digest = sha256((b"raw" if raw else b"") + tiny_run.data[URLS[3]])
    assert forgotten(tiny_run, Requests(sha256s=frozenset([digest]))).images == 1
    assert tiny_run.data[URLS[3]] not in bytes_of(tiny_run)
    assert URLS[3].encode() not in bytes_of(tiny_run)


def test_twice_is_once(tiny_run: TinyRun) -> None:
    requests = Requests(urls=frozenset([URLS[0]]))
    forgotten(tiny_run, requests)
    before = every_table(tiny_run)
    done = forgotten(tiny_run, requests)
    assert (done.images, done.rows) == (0, {})
    assert {name: frame.rows() for name, frame in every_table(tiny_run).items()} == {
        name: frame.rows() for name, frame in before.items()
    }
    ledger = tiny_run.read("forget/forgotten.parquet", schema.FORGOTTEN)
    assert ledger.rows() == [("url", refusals.digest(URLS[0]), AT)]


@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_a_crash_is_finished_by_the_next_run(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    requests, rewrite, calls = Requests(urls=frozenset([URLS[1]])), forget._rewrite, []

    def dies(*given: object, **named: object) -> None:
        calls.append(given)
        if len(calls) > after:
            raise KeyboardInterrupt
        rewrite(*given, **named)

    monkeypatch.setattr(forget, "_rewrite", dies)
    with pytest.raises(KeyboardInterrupt):
        forgotten(tiny_run, requests)
    monkeypatch.setattr(forget, "_rewrite", rewrite)
    forgotten(tiny_run, requests)
    assert URLS[1].encode() not in bytes_of(tiny_run)
    assert tiny_run.read("dedup/copies.parquet", schema.COPIES).height == 3
    assert not (tiny_run.results / "forget/unfinished.parquet").exists()
    summary = tiny_run.read("forget/summary.parquet", schema.SUMMARY)
    assert summary.filter(reason="forgotten")["rows"].sum() == 12


def test_an_index_loses_its_ids(tiny_run: TinyRun) -> None:
    forgotten(tiny_run, Requests(urls=frozenset([URLS[0]])))
    index = faiss.read_index(str(tiny_run.results / "index/index.faiss"))
    ids = faiss.vector_to_array(index.id_map).tolist()
    assert sorted(ids) == sorted([tiny_run.ids[URLS[1]], tiny_run.ids[URLS[3]]])


def test_what_was_trained_on_it_is_listed(tiny_run: TinyRun) -> None:
    tables = Catalogue(tiny_run.results)
    assert trained.told(tables) == "trained on forgotten images: none\nfitted on them: none\n"
    forgotten(tiny_run, Requests(urls=frozenset([URLS[3]])))  # not in the manifest
    assert trained.backbones(tables) == []
    forgotten(tiny_run, Requests(urls=frozenset([URLS[0]])))
    forgotten(tiny_run, Requests(urls=frozenset([URLS[1]])))  # the manifest changes again
    stages = ("adapt", "pretrain")  # adapt never saw the manifest: it is the heir of one that did
    assert trained.backbones(tables) == [
        str(tiny_run.results / f"{stage}/main/backbone.safetensors") for stage in stages
    ]
    assert trained.fitted(tables) == [str(tiny_run.results / "hash/pca.safetensors")]
    before = pl.read_parquet_metadata(tiny_run.results / "manifest/lvd.parquet")[forget.BEFORE]
    assert len(json.loads(before)) == 2


def test_a_tar_of_another_run_is_refused_before_anything_changes(tiny_run: TinyRun) -> None:
    for tar in tiny_run.results.rglob("crawl-*.tar"):
        tar.write_bytes(b"x" * tar.stat().st_size)
    before = bytes_of(tiny_run)
    with pytest.raises(InputError, match="other bytes"):
        forgotten(tiny_run, Requests(urls=frozenset([URLS[0]])))
    assert bytes_of(tiny_run) == before


def test_the_users_own_tars_lose_sidecars_too(tiny_run: TinyRun) -> None:
    tar = tiny_run.folder / "mine.tar"
    with io.TarWriter(tar) as writer:
        writer.add("1.json", b'{"url": "http://nine.org/1.jpg"}')
        offset = writer.add("1.jpg", b"picture")
        writer.add("2.jpg", b"another")
    row = {"image_id": 9 << 32, "source": "mine", "url": "http://nine.org/1.jpg", "status": "ok"}
    place = {"tar": str(tar), "offset": offset, "num_bytes": 7, "sha256": sha256(b"picture")}
    tiny_run.write("screen/mine-00009.parquet", schema.IMAGES, [{**row, **place}])
    forgotten(tiny_run, Requests(sha256s=frozenset([sha256(b"picture")])))
    data = tar.read_bytes()
    assert b"nine.org" not in data
    assert b"picture" not in data
    assert b"another" in data


def _duplicates(run: TinyRun) -> np.ndarray:
    rows = run.read("hash/duplicates.parquet", schema.DUPLICATES)
    return rows["image_id"].sort().to_numpy()


@pytest.mark.parametrize("crash", [False, True])
def test_searches_outlive_a_forgotten_duplicate(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch, crash: bool
) -> None:
    """So that an appended crawl does not make the old ones be searched again."""
    files = sorted(tiny_run.results.glob("describe/*.parquet"))
    stored = StoredVectors(files, schema.DESCRIPTORS, _duplicates(tiny_run))
    num_queries = len(stored.load()[0])
    made_by = {**parts.made_of(stored, stored, num_queries=num_queries), "knobs": "{}"}
    path = tiny_run.results / "link/parts/crawl-block-00000/crawl-block-00000.parquet"
    schema.write(
        pl.DataFrame(schema=dict(schema.PAIRS.columns)), path, schema.PAIRS, made_by=made_by
    )
    times, requests = tiny_run.times(), Requests(urls=frozenset([URLS[5]]))
    if crash:
        with monkeypatch.context() as broken:
            broken.setattr(forget, "_remove_from_indexes", None)
            with pytest.raises(TypeError):
                forgotten(tiny_run, requests)
    forgotten(tiny_run, requests)
    assert tiny_run.times() == times
    assert not len(_duplicates(tiny_run))
    parts.check([path], duplicates=_duplicates(tiny_run), knobs="{}")
    another = np.array([tiny_run.ids[URLS[3]]], np.uint64)
    with pytest.raises(InputError, match="found one among others"):
        parts.check([path], duplicates=another, knobs="{}")
