"""collect: many METRICS tables become one, printed."""

from pathlib import Path

import polars as pl
from tests.stages.command import command

from sauropod import schema
from sauropod.io import stamp


def write(path: Path, rows: list[tuple[str, str, str, float]]) -> None:
    """Write METRICS rows (model, benchmark, metric, value)."""
    full = [(*row, 10, 0.5, "c") for row in rows]
    frame = pl.DataFrame(full, schema=dict(schema.METRICS.columns), orient="row")
    schema.write(frame, path, schema.METRICS, made_by=stamp("t", knobs={}, inputs=[]))


def test_gathers_and_prints(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [("vit", "pets", "knn10_top1", 0.5)])
    write(tmp_path / "b.parquet", [("random", "pets", "knn10_top1", 0.25)])
    out = tmp_path / "all.parquet"
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    ended = command("collect", "--metrics", *files, "--out", out, "--report", tmp_path / "r.html")
    assert ended.returncode == 0, ended.stderr
    assert schema.read(out, schema.METRICS)["value"].to_list() == [0.5, 0.25]
    assert "vit" in ended.stdout
    assert "50.0" in ended.stdout
    assert ended.stdout.endswith("r.html\n")


def test_another_table_is_one_sentence(tmp_path: Path) -> None:
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "x.parquet")
    ended = command("collect", "--metrics", tmp_path / "x.parquet", "--out", tmp_path / "o.parquet")
    assert ended.returncode == 2
    assert "expected a table METRICS" in ended.stderr
    assert not (tmp_path / "o.parquet").exists()
