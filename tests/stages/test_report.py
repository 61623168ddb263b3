"""src/report.py: one file out of a few tables; its command line."""

import sys
from pathlib import Path

import polars as pl
import pytest

import report
from sauropod import cli, io, schema

STAMP = io.stamp("ingest", knobs={}, inputs=[])


def _run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["report.py", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.run(report.main)
    return int(stopped.value.code or 0)


def test_a_few_tables_make_a_page(tmp_path: Path) -> None:
    frame = schema.summary("ingest", "crawl-00000", kept=5, dropped={"timeout": 2})
    schema.write(frame, tmp_path / "s.parquet", schema.SUMMARY, made_by=STAMP)
    pl.DataFrame({"step": [1, 2], "loss": [3.0, 2.0]}).write_parquet(tmp_path / "log.parquet")
    (tmp_path / "dag.dot").write_text('digraph {\n0[label = "ingest"];\n}')
    out = tmp_path / "out" / "report.html"
    report.main(
        out=out,
        title="a small run",
        summaries=(tmp_path / "s.parquet",),
        logs=(tmp_path / "log.parquet",),
        curves=tmp_path / "out" / "curves",
        dag=tmp_path / "dag.dot",
    )
    html = out.read_text()
    for words in ("a small run", "timeout", "Training", "ingest", io.commit()):
        assert words in html
    assert "Retrieval" not in html
    assert [path.suffix for path in (tmp_path / "out" / "curves").iterdir()] == [".png"]


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "--help") == 0
    assert "--benchmarks-tsv" in capsys.readouterr().out


def test_wrong_table_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "x.parquet")
    out = tmp_path / "out" / "report.html"
    assert _run(monkeypatch, "--out", out, "--metrics", tmp_path / "x.parquet") == 2
    assert "a table METRICS" in capsys.readouterr().err.splitlines()[-1]
    assert not out.parent.exists()
