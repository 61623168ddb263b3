"""summarise: the summaries of many shards, named as a range, add up."""

from pathlib import Path

import pytest
from tests.stages.command import command

from sauropod import schema
from sauropod.io import stamp


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for number in range(3):
        rows = schema.summary("links", f"a-{number:05d}", kept=number, dropped={"robots": 10})
        path = tmp_path / f"a-{number:05d}.summary.parquet"
        schema.write(rows, path, schema.SUMMARY, made_by=stamp("t", knobs={}, inputs=[]))
    return tmp_path


def test_adds_up(shards: Path) -> None:
    out = shards / "sum.parquet"
    series = shards / "a-{00000..00002}.summary.parquet"
    ended = command("summarise", "--summaries", series, "--shard", "a", "--out", out)
    assert ended.returncode == 0, ended.stderr
    rows = schema.read(out, schema.SUMMARY).rows()
    assert rows == [("links", "a", "kept", 3), ("links", "a", "robots", 30)]


def test_a_missing_shard_is_named(shards: Path) -> None:
    out = shards / "sum.parquet"
    series = shards / "a-{00001..00003}.summary.parquet"
    ended = command("summarise", "--summaries", series, "--shard", "a", "--out", out)
    assert ended.returncode == 2
    assert "a-00003.summary.parquet: expected a table SUMMARY, found no such file" in ended.stderr
    assert not out.exists()
