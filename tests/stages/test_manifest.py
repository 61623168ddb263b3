"""src/manifest.py: the whole curation chain gives the same manifest on 1, 3 and 7 shards."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal
from tests.stages.command import command, script, summary_of
from tests.stages.conftest import UNIQUE, Run

from sauropod import config, schema

PLACE = ["image_id", "tar", "offset", "query_id"]


def _content(run: Run, name: str) -> pl.DataFrame:
    return schema.read(run.at("manifest", name), schema.MANIFEST).drop(PLACE)


def test_shard_count_changes_places_only(make_run: Callable[[int], Run], curation: Run) -> None:
    runs = [make_run(num_shards).all() for num_shards in (1, 7)]
    for name in ("lvd", "uncurated"):
        expected = _content(curation, name)
        assert expected.height
        for run in runs:
            assert_frame_equal(_content(run, name), expected)


def test_rows_are_accounted_for(curation: Run) -> None:
    rows = schema.read(curation.at("manifest", "lvd"), schema.MANIFEST)
    neighbours = schema.read(curation.at("retrieve", "set"), schema.NEIGHBOURS)
    assert rows.height == 12 + neighbours.height
    counts = summary_of(curation.at("manifest", "summary"))
    assert counts["manifest", "kept"] == rows.height
    assert counts["manifest_distinct", "kept"] == rows["image_id"].n_unique()
    copies = schema.read(curation.at("dedup", "copies"), schema.COPIES)
    dropped = copies.filter(~pl.col("kept"))["image_id"]
    other = schema.read(curation.at("manifest", "uncurated"), schema.MANIFEST)
    assert other.height == min(rows["image_id"].n_unique(), UNIQUE)
    for table in (rows, other):
        assert not table["image_id"].is_in(dropped.implode()).any()


def test_curated_only(curation: Run, tmp_path: Path) -> None:
    script("manifest").main(
        curated=(curation.at("images", "set-00000"),),
        out=tmp_path / "c",
        knobs=config.Manifest(),
        curated_only=True,
    )
    rows = schema.read(tmp_path / "c", schema.MANIFEST)
    assert rows.height == 12
    assert set(rows["source"]) == {"as_is"}


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--multiplicity" in command("manifest", "--help").stdout
    inputs = ("--curated", curation.at("images", "set-00000"), "--out", tmp_path / "m")
    done = command("manifest", *inputs, "--recipe", "sets:as_is")
    assert done.returncode == 2
    assert "expected one of set" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
