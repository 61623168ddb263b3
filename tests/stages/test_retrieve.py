"""src/retrieve.py: both modes of one dataset, and what the summary says of them."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.stages.command import Ended, command, summary_of
from tests.stages.conftest import Run, World

from sauropod import schema
from sauropod.retrieve import index
from sauropod.retrieve.vectors import StoredVectors


def test_both_rows(curation: Run) -> None:
    found = schema.read(curation.at("retrieve", "set"), schema.NEIGHBOURS)
    sampled = found.filter(pl.col("cluster").is_null())
    assert sampled.height == 3 * 12
    assert set(found["query_dataset"]) == {"set"}
    drawn = found.filter(pl.col("cluster").is_not_null())
    assert drawn.group_by("cluster").len()["len"].max() <= 5
    assert drawn.height <= 12
    counts = summary_of(curation.at("retrieve", "summary"))
    assert counts["retrieve", "kept"] == found.height
    assert counts["retrieve_audit", "kept"] == 36
    distinct = sampled["image_id"].n_unique() + drawn["image_id"].n_unique()
    assert counts["retrieve_distinct", "kept"] == distinct


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--min-queries" in command("retrieve", "--help").stdout
    inputs = ("--dataset", "set", "--queries", curation.at("embed", "set-00000"))
    inputs = (*inputs, "--embeddings", *curation.pool("embed"), "--copies", curation.copies)
    out = ("--out", tmp_path / "n", "--summary", tmp_path / "s")
    for row, sentence in [
        ("set:sample:2", "give --index"),
        ("set:cluster", "give --centroids"),
        ("other:cluster", "expected one of set"),
    ]:
        done = command("retrieve", *inputs, *out, "--rows", row)
        assert done.returncode == 2
        assert sentence in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def _sampled(curation: Run, queries: np.ndarray, folder: Path, *, count: int) -> Ended:
    """Search for some vectors by the command line, among the whole pool."""
    ids = pl.Series(np.arange(len(queries)) + (1 << 60), dtype=pl.UInt64)
    frame = pl.DataFrame({"image_id": ids, "embedding": schema.vector_column(queries)})
    schema.write(frame, folder / "set-00000.parquet", schema.EMBEDDINGS, made_by={"stage": "test"})
    indexes = [curation.folder / "index" / f"{name}.faiss" for name in curation.blocks]
    words = ["--dataset", "set", "--rows", f"set:sample:{count}", "--copies", curation.copies]
    words += ["--queries", folder / "set-00000.parquet", "--embeddings", *curation.pool("embed")]
    words += ["--index", *indexes, "--index-shards", *map(len, curation.blocks.values())]
    return command("retrieve", *words, "--out", folder / "n", "--summary", folder / "s")


def test_more_neighbours_than_the_pool_holds(curation: Run, tmp_path: Path) -> None:
    """All that is kept is found, once, and the summary says how much less that is."""
    kept = schema.read(curation.copies, schema.COPIES).filter(pl.col("kept"))
    queries = np.eye(16)[:2]
    done = _sampled(curation, queries, tmp_path, count=999)
    assert done.returncode == 0, done.stderr
    found = schema.read(tmp_path / "n", schema.NEIGHBOURS)
    assert set(found["image_id"]) == set(kept["image_id"])
    assert found.height == 2 * kept.height


@pytest.mark.parametrize("queries", [np.zeros((0, 16)), np.full((3, 16), np.nan)])
def test_nothing_to_search_for(curation: Run, tmp_path: Path, queries: np.ndarray) -> None:
    """An empty set, and one whose embeddings are all broken."""
    done = _sampled(curation, queries, tmp_path, count=2)
    print(done)
    assert done.returncode == 2
    assert "expected" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "n").exists()


def _between(vectors: np.ndarray, cosine: float) -> np.ndarray:
    """A vector of length 1 at this cosine from each of some."""
    inverse = np.linalg.pinv(vectors)
    noise = np.random.default_rng(1).standard_normal(vectors.shape[1])
    noise -= inverse @ (vectors @ noise)
    found = inverse @ np.full(len(vectors), cosine)
    return found + np.sqrt(1 - found @ found) * noise / np.linalg.norm(noise)


def _tying(world: World) -> World:
    """Two images of the late source: one joins two old images, one ties an old one to a benchmark.

    Images 153 and 154 of the pool are in shards 3 and 4 of five, images 30 to 32 are not.
    """
    copies = world.copies.copy()
    copies[3] = _between(world.unique[30:32], 0.65)
    copies[4] = _between(np.stack([world.unique[32], world.benchmark[0]]), 0.52)
    return dataclasses.replace(world, copies=copies)


@pytest.mark.parametrize("ties", [False, True])
def test_an_appended_crawl_gives_the_manifest_of_a_new_run(
    world: World, tmp_path: Path, ties: bool
) -> None:
    """Old shards are neither embedded nor assigned, nor is anything fitted again."""
    both = _tying(world) if ties else world
    grown, scratch = (Run(tmp_path / name, both, 5, 2) for name in ("grown", "scratch"))
    shards, grown.shards = grown.shards, grown.early
    grown.all()
    old = [*grown.pool("embed"), *grown.in_blocks("cluster")]
    old += [grown.folder / name for name in ("index.faiss", "centroids.safetensors")]
    times = {path: path.stat().st_mtime_ns for path in old}
    before = schema.read(grown.copies, schema.COPIES).filter("kept")["image_id"]
    grown.shards = shards
    grown.all()
    assert {path: path.stat().st_mtime_ns for path in times} == times
    kept = schema.read(grown.copies, schema.COPIES).filter("kept")["image_id"]
    assert before.is_in(kept.implode()).sum() == len(before) - 2 * ties
    if ties:  # what was fitted has seen the two images
        for name in ("index.faiss", "centroids.safetensors"):
            scratch.folder.mkdir(exist_ok=True)
            shutil.copy(grown.folder / name, scratch.folder / name)
    scratch.all()
    assert schema.read(scratch.copies, schema.COPIES).equals(
        schema.read(grown.copies, schema.COPIES)
    )
    for stage, name, table in (
        ("retrieve", "set", schema.NEIGHBOURS),
        ("manifest", "lvd", schema.MANIFEST),
        ("manifest", "uncurated", schema.MANIFEST),
    ):
        mine, theirs = (schema.read(run.at(stage, name), table) for run in (grown, scratch))
        assert mine.equals(theirs), name
    mine, theirs = (
        StoredVectors(run.pool("embed"), schema.EMBEDDINGS, copies=run.copies).load()
        for run in (grown, scratch)
    )
    assert all(map(np.array_equal, mine, theirs))
    for name in grown.blocks:
        a, b = (index.load(run.folder / "index" / f"{name}.faiss") for run in (grown, scratch))
        assert a.ntotal == b.ntotal
