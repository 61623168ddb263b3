"""src/link.py: planted copies and overlaps are edges at their planted cosine."""

from pathlib import Path

import polars as pl
import pytest
from tests.stages.conftest import COPIES, OVERLAPS, Run, command, summary_of

from sauropod import schema


def test_planted_edges(curation: Run) -> None:
    edges = schema.read([curation.at("link", name) for name in curation.shards], schema.EDGES)
    near = edges.filter(pl.col("similarity") > 0.6)
    assert near.height == 2 * COPIES  # each pair from both sides
    assert near["similarity"].to_list() == pytest.approx([0.9] * near.height, abs=2e-3)
    overlaps = schema.read(curation.at("link", "bench-00000"), schema.EDGES)
    assert overlaps["image_id"].n_unique() == OVERLAPS
    assert overlaps["similarity"].min() > 0.45


def test_audit_is_in_the_summary(curation: Run) -> None:
    counts = summary_of(curation.at("link_summary", "bench-00000"))
    assert counts["link", "kept"] == OVERLAPS
    assert counts["link_audit", "kept"] >= OVERLAPS
    assert ("link_audit", "missed") not in counts


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--over-fetch" in command("link", "--help").stdout
    pool = curation.pool("describe")
    inputs = ("--queries", pool[0], "--descriptors", pool[0])  # the index holds all three shards
    inputs = (*inputs, "--duplicates", curation.at("hash", "duplicates"), "--shard", "x")
    inputs = (*inputs, "--index", curation.folder / "link.faiss")
    done = command("link", *inputs, "--out", tmp_path / "e", "--summary", tmp_path / "s")
    assert done.returncode == 2
    assert "build the index again from these files" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
