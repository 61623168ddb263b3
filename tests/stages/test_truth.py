"""src/truth.py: claims alone, and the whole truth of a world of three images; its command line."""

import sys
from pathlib import Path

import polars as pl
import pytest

import truth
from sauropod import cli, io, schema

STAMP = io.stamp("test", knobs={}, inputs=[])


def _write(path: Path, rows: list[dict], table: schema.Table) -> Path:
    schema.write(pl.DataFrame(rows, schema=dict(table.columns)), path, table, made_by=STAMP)
    return path


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    rows = [
        {"model": name, "benchmark": "b", "metric": "knn10_top1", "value": value, "num_samples": 9}
        for name, value in (("main", 0.5), ("random", 0.25))
    ]
    return _write(tmp_path / "metrics.parquet", rows, schema.METRICS)


def test_claims_alone(tmp_path: Path, metrics: Path) -> None:
    out = tmp_path / "out.parquet"
    truth.main(out=out, metrics=(metrics,), claims=("main>random",))
    (row,) = schema.read(out, schema.METRICS).rows(named=True)
    assert (row["model"], row["value"]) == ("main > random", 0.25)


def test_whole_truth(tmp_path: Path, metrics: Path) -> None:
    world = [
        {"name": "u/a", "role": "pool", "kind": "original", "label": "cat", "parent": ""},
        {"name": "u/b", "role": "pool", "kind": "exact_copy", "label": "cat", "parent": "u/a"},
        {"name": "u/c", "role": "pool", "kind": "unsafe", "label": "", "parent": ""},
    ]
    world = [{**row, "num_faces": 0, "faces": [], "status": "ok"} for row in world]
    images = [{"image_id": i, "url": f"u/{name}", "status": "ok"} for i, name in enumerate("abc")]
    after = [*images[:2], {**images[2], "status": "unsafe"}]
    copies = {"component": 0, "kept": True, "reason": "unique"}
    out = tmp_path / "out.parquet"
    truth.main(
        out=out,
        metrics=(metrics,),
        truth=(_write(tmp_path / "t", world, schema.TRUTH),),
        ingested=(_write(tmp_path / "i", images, schema.IMAGES),),
        images=(_write(tmp_path / "a", after, schema.IMAGES),),
        screened=(_write(tmp_path / "s", [], schema.SCREENED),),
        duplicates=_write(tmp_path / "d", [{"image_id": 1, "duplicate_of": 0}], schema.DUPLICATES),
        copies=_write(tmp_path / "c", [{"image_id": 0, **copies}], schema.COPIES),
        manifest=_write(tmp_path / "m", [{"image_id": 0}], schema.MANIFEST),
    )
    rows = schema.read(out, schema.METRICS)
    assert rows["benchmark"].unique().to_list() == ["truth"]
    found = {(row["model"], row["metric"]): row["value"] for row in rows.iter_rows(named=True)}
    assert found["ingest", "status_unexpected"] == 0
    assert found["screen", "unsafe_left"] == 0
    assert found["hash", "pair_recall"] == 1.0
    assert found["manifest", "class_share:cat"] == 1.0


def _run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["truth.py", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.run(truth.main)
    return int(stopped.value.code or 0)


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "--help") == 0
    assert "--claims" in capsys.readouterr().out


def test_unknown_model_is_one_sentence_and_leaves_nothing(
    tmp_path: Path,
    metrics: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out" / "truth.parquet"
    words = ["--out", out, "--metrics", metrics, "--claims", "main>rnadom", "--truth"]
    assert _run(monkeypatch, *words) == 2
    assert "found models main, random" in capsys.readouterr().err.splitlines()[-1]
    assert not out.parent.exists()
