"""src/group_hashes.py: the planted twins, and nothing else."""

from pathlib import Path

import polars as pl
from tests.stages.command import command, summary_of
from tests.stages.conftest import COPIES, TWINS, UNIQUE, Run

from sauropod import schema


def test_planted_twins(curation: Run) -> None:
    found = schema.read(curation.at("hash", "duplicates"), schema.DUPLICATES)
    images = schema.read(curation.pool("images"), schema.IMAGES)
    number = dict(images.select("image_id", pl.col("num_bytes") - 1000).iter_rows())
    pairs = {tuple(sorted((number[a], number[b]))) for a, b in found.iter_rows()}
    assert pairs == {(COPIES + i, UNIQUE + COPIES + i) for i in range(TWINS)}
    counts = summary_of(curation.at("hash", "summary"))
    expected = {("hash", "kept"): len(number) - TWINS, ("hash", "hash_duplicate"): TWINS}
    assert counts == expected


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--radius" in command("group_hashes", "--help").stdout
    inputs = ("--hashes", *curation.in_blocks("hash"), "--images", curation.pool("images")[0])
    missing = ("--hashes", curation.in_blocks("hash")[0], "--images", *curation.pool("images"))
    done = command("group_hashes", *missing, "--out", tmp_path / "d", "--summary", tmp_path / "s")
    assert done.returncode == 2
    assert "none for crawl-00002.parquet" in done.stderr.splitlines()[-1]
    done = command("group_hashes", *inputs, "--out", tmp_path / "d", "--summary", tmp_path / "s")
    assert done.returncode == 2
    assert "IMAGES tables of all shards" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
