"""src/dedup.py: planted copies and overlaps go, everything else stays."""

from pathlib import Path

import polars as pl
import pytest
from tests.stages.command import command, script, summary_of
from tests.stages.conftest import COPIES, OVERLAPS, TWINS, UNIQUE, Run

from sauropod import schema
from sauropod.config import Dedup


def _verdicts(curation: Run) -> pl.DataFrame:
    copies = schema.read(curation.at("dedup", "copies"), schema.COPIES)
    images = schema.read(curation.pool("images"), schema.IMAGES)
    number = pl.col("num_bytes").cast(pl.Int64) - 1000
    return copies.join(images.select("image_id", number=number), on="image_id").sort("number")


def test_planted_truth(curation: Run) -> None:
    found = _verdicts(curation)
    reasons = found["reason"].to_list()
    first_overlap = UNIQUE + COPIES + TWINS
    assert reasons[first_overlap:] == ["eval_overlap"] * OVERLAPS
    dropped = found.filter(pl.col("reason") == "copy")
    assert dropped.height == COPIES + TWINS
    assert found.filter(pl.col("reason") == "representative").height == COPIES + TWINS
    assert found.filter("kept").height == UNIQUE


def test_the_funnel_adds_up(curation: Run) -> None:
    counts = summary_of(curation.at("dedup", "summary"))
    reasons = {"kept": UNIQUE, "hash_duplicate": TWINS, "copy": COPIES, "eval_overlap": OVERLAPS}
    assert counts == {("dedup", reason): rows for reason, rows in reasons.items()}


def test_references_are_a_choice(curation: Run, tmp_path: Path) -> None:
    script("dedup").main(
        edges=curation.edges,
        images=curation.pool("images"),
        duplicates=curation.at("hash", "duplicates"),
        out=tmp_path / "c",
        summary=tmp_path / "s",
        components=tmp_path / "h",
        knobs=Dedup(references=("curated", "benchmark_train")),
    )
    assert ("dedup", "eval_overlap") not in summary_of(tmp_path / "s")


def _outputs(folder: Path) -> tuple[object, ...]:
    flags = ("--out", "--summary", "--components")
    return tuple(word for flag in flags for word in (flag, folder / flag.strip("-")))


def test_sizes_of_components_are_written(curation: Run) -> None:
    found = schema.read(curation.at("dedup", "components"), schema.COMPONENTS)
    alive = UNIQUE + COPIES + OVERLAPS
    assert found.head(2).select("size", "components").rows() == [
        (1, alive - 2 * COPIES),
        (2, COPIES),
    ]
    assert found["threshold"].unique().sort().to_list() == pytest.approx([0.45, 0.6])


def test_a_missing_shard_is_named_before_any_work(curation: Run, tmp_path: Path) -> None:
    edges = [path for path in curation.edges if path.name != "crawl-block-00001.parquet"]
    inputs = ("--edges", *edges, "--images", *curation.pool("images"))
    inputs = (*inputs, "--duplicates", curation.at("hash", "duplicates"))
    done = command("dedup", *inputs, *_outputs(tmp_path))
    assert done.returncode == 2
    assert "none for crawl-00002.parquet" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--max-component-share" in command("dedup", "--help").stdout
    inputs = ("--edges", *curation.in_blocks("hash"), "--images", *curation.pool("images"))
    inputs = (*inputs, "--duplicates", curation.at("hash", "duplicates"))
    done = command("dedup", *inputs, *_outputs(tmp_path))
    assert done.returncode == 2
    assert "a table EDGES" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
