"""src/retrieve.py: both modes of one dataset, and what the summary says of them."""

from pathlib import Path

import polars as pl
from tests.stages.conftest import Run, command, summary_of

from sauropod import schema


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
    inputs = (*inputs, "--embeddings", *curation.pool("embed"))
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
