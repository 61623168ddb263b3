"""src/link.py: planted copies and overlaps are edges at their planted cosine."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.stages.command import command
from tests.stages.conftest import COPIES, OVERLAPS, REFERENCES, Run

from sauropod import schema

REFERENCE = next(iter(REFERENCES))


def test_planted_edges(curation: Run) -> None:
    edges = schema.read([curation.at("link", name) for name in curation.blocks], schema.EDGES)
    near = edges.filter(pl.col("similarity") > 0.6)
    assert near.height == 2 * COPIES  # each pair from both sides
    assert near["similarity"].to_list() == pytest.approx([0.9] * near.height, abs=2e-3)
    overlaps = schema.read(curation.at("link", REFERENCE), schema.EDGES)
    overlaps = overlaps.filter(pl.col("image_id") // 2**60 == 2)
    assert overlaps["image_id"].n_unique() == OVERLAPS
    assert overlaps["similarity"].min() > 0.45


def _inputs(curation: Run, **changed: Path) -> list[object]:
    """A command that searches the first block in itself, some inputs changed."""
    block = curation.block("crawl-block-00000")
    inputs = {"queries": block, "pool": block, "duplicates": [curation.at("hash", "duplicates")]}
    inputs |= {"index": [curation.folder / "crawl-block-00000.faiss"]}
    inputs |= {name: [path] for name, path in changed.items()}
    return [word for name, paths in inputs.items() for word in (f"--{name}", *paths)]


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--over-fetch" in command("link", "--help").stdout
    shard = curation.pool("describe")[0]
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(shard.read_bytes()[:-100])
    damaged = tmp_path / "damaged.parquet"
    data = bytearray(shard.read_bytes())
    data[200:2000] = bytes(1800)
    damaged.write_bytes(data)
    other = curation.folder / "crawl-block-00001.faiss"
    for changed, sentence in (
        ({"pool": shard}, "an index of the given vector files"),
        ({"index": other}, "an index of the given vector files"),
        ({"index": curation.folder / "index" / other.name}, "of the given vector files"),
        ({"queries": cut}, "found no Parquet"),
        ({"queries": damaged}, "found a damaged one"),
        ({"queries": tmp_path / "no.parquet"}, "found no such file"),
        ({"queries": curation.pool("embed")[0]}, "a table DESCRIPTORS"),
    ):
        done = command("link", *_inputs(curation, **changed), "--out", tmp_path / "out" / "e")
        assert done.returncode == 2, done.stderr
        assert sentence in done.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("out/*"))


def _with(path: Path, curation: Run, **rows: object) -> Path:
    """The first shard with some of its rows replaced, under the same ids."""
    frame = schema.read(curation.pool("describe")[0], schema.DESCRIPTORS)
    ids, vectors = frame["image_id"].to_numpy().copy(), schema.vectors(frame, "descriptor").copy()
    ids[: len(rows.get("ids", ()))] = rows.get("ids", ())
    vectors[: len(rows.get("vectors", ()))] = rows.get("vectors", np.empty((0, vectors.shape[1])))
    frame = pl.DataFrame({"image_id": ids, "descriptor": schema.vector_column(vectors)})
    schema.write(frame, path, schema.DESCRIPTORS, made_by={"stage": "test"})
    return path


def test_broken_descriptors_are_counted_rows(curation: Run, tmp_path: Path) -> None:
    """NaN, infinite, zero and of length 2."""
    width = curation.world.pool.shape[1]
    broken = np.zeros((4, width))
    broken[0], broken[1], broken[3, 0] = np.nan, np.inf, 2
    queries = _with(tmp_path / "crawl-00000.parquet", curation, vectors=broken)
    part = tmp_path / "part.parquet"
    done = command("link", *_inputs(curation, queries=queries), "--out", part)
    assert done.returncode == 0, done.stderr
    told = pl.read_parquet_metadata(part)
    whole = pl.read_parquet_metadata(curation.part("crawl-block-00000", "crawl-block-00000"))
    assert told["num_bad"] == "4"
    assert whole["num_bad"] == "0"


def test_an_image_twice_is_refused(curation: Run, tmp_path: Path) -> None:
    twice = _with(tmp_path / "crawl-00000.parquet", curation, ids=[1])
    done = command("link", *_inputs(curation, queries=twice), "--out", tmp_path / "part.parquet")
    assert done.returncode == 2
    assert "image 1 twice or out of order" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "part.parquet").exists()


def test_nothing_to_search_for(curation: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    column = pl.Series([], dtype=pl.Array(pl.Float16, 1))
    frame = pl.DataFrame({"image_id": pl.Series([], dtype=pl.UInt64), "descriptor": column})
    schema.write(frame, empty, schema.DESCRIPTORS, made_by={"stage": "test"})
    part = tmp_path / "part.parquet"
    done = command("link", *_inputs(curation, queries=empty), "--out", part)
    assert done.returncode == 0, done.stderr
    assert schema.read(part, schema.PAIRS).is_empty()


def test_an_appended_crawl_gives_what_a_new_run_gives(make_run: Callable[..., Run]) -> None:
    """Old blocks are neither indexed nor searched in old ones again."""
    scratch = make_run(5, 2)
    scratch.hash()
    scratch.link()
    scratch.dedup()
    grown = make_run(5, 2)
    late, grown.shards = grown.shards, grown.early
    grown.hash()
    grown.link()
    grown.dedup()
    old = {path: path.stat().st_mtime_ns for path in grown.folder.rglob("*.faiss")}
    old |= {path: path.stat().st_mtime_ns for path in grown.folder.glob("link/*/*.parquet")}
    assert len(old) == 1 + 2 + 3 * 2
    grown.shards = late
    grown.hash()
    grown.link()
    grown.dedup()
    assert {path: path.stat().st_mtime_ns for path in old} == old
    for mine, theirs in zip(grown.edges, scratch.edges, strict=True):
        assert schema.read(mine, schema.EDGES).equals(schema.read(theirs, schema.EDGES))
    copies = [schema.read(run.at("dedup", "copies"), schema.COPIES) for run in (grown, scratch)]
    assert copies[0].equals(copies[1])
    kept = copies[0].filter("kept")["image_id"].to_numpy() >> 48
    assert set(kept) == {0, 1}
    shutil.rmtree(grown.folder)
    shutil.rmtree(scratch.folder)
