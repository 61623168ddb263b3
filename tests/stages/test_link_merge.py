"""src/link_merge.py: the nearest over all blocks, the recall, and parts that do not belong."""

from pathlib import Path

import polars as pl
from tests.stages.command import command, summary_of
from tests.stages.conftest import LINK, OVERLAPS, REFERENCES, Run

from sauropod import schema

REFERENCE = next(iter(REFERENCES))


def test_recall_is_in_the_summary(curation: Run) -> None:
    counts = summary_of(curation.at("link_summary", REFERENCE))
    assert counts["link", "kept"] == OVERLAPS + 12
    assert counts["link_audit", "kept"] == (OVERLAPS + 12) * LINK.neighbours
    assert counts["link_audit_edges", "kept"] >= OVERLAPS
    assert ("link_audit", "missed") not in counts


def _merge(curation: Run, tmp_path: Path, *parts: Path, knob: int = 8) -> str:
    flags = ["--duplicates", curation.at("hash", "duplicates"), "--block", "x"]
    flags += ["--out", tmp_path / "e", "--summary", tmp_path / "s"]
    knobs = ["--factory", LINK.factory, "--num-probes", 4, "--audit", 20, "--neighbours", knob]
    knobs += ["--shards-per-block", 2]
    done = command("link_merge", "--parts", *parts, *flags, *knobs)
    assert done.returncode in (0, 2), done.stderr
    return done.stderr.splitlines()[-1] if done.returncode else ""


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--reference" in command("link_merge", "--help").stdout
    names = list(curation.blocks)
    mine = [curation.part(names[0], name) for name in names]
    assert "found one of another run" in _merge(curation, tmp_path, *mine, knob=7)
    other = curation.part(names[1], names[0])
    assert "found one of another run" in _merge(curation, tmp_path, mine[0], other)
    assert "a table PAIRS" in _merge(curation, tmp_path, curation.pool("embed")[0])
    assert list(tmp_path.iterdir()) == []
    assert _merge(curation, tmp_path, *mine) == ""


def test_a_stale_part_is_one_sentence(curation: Run, tmp_path: Path) -> None:
    """An image that was searched has become a duplicate since."""
    rows = schema.read(curation.at("hash", "duplicates"), schema.DUPLICATES)
    more = pl.concat([rows, rows.head(1).with_columns(image_id=pl.lit(3, pl.UInt64))])
    schema.write(more, tmp_path / "d", schema.DUPLICATES, made_by={"stage": "test"})
    names = list(curation.blocks)
    parts = [curation.part(names[0], name) for name in names]
    flags = ["--duplicates", tmp_path / "d", "--block", "x", "--factory", LINK.factory]
    flags += ["--num-probes", 4, "--audit", 20, "--neighbours", 8, "--shards-per-block", 2]
    flags += ["--out", tmp_path / "e", "--summary", tmp_path / "s"]
    done = command("link_merge", "--parts", *parts, *flags)
    assert done.returncode == 2
    assert "among the images that are no duplicates now, found one among" in done.stderr
    assert not (tmp_path / "e").exists()
