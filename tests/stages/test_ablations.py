"""src/ablations.py: tables in, Markdown and PNG out."""

from pathlib import Path

import polars as pl
import pytest
from PIL import Image

import ablations
from sauropod import schema
from sauropod.errors import InputError


def test_studies_become_a_table_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        (model, "pets", "knn10_top1", value, 9, 0.0, "c")
        for model, value in (("a", 0.1), ("b", 0.3))
    ]
    frame = pl.DataFrame(rows, schema=dict(schema.METRICS.columns), orient="row")
    schema.write(frame, tmp_path / "m.parquet", schema.METRICS, made_by={"stage": "t"})
    outputs = {"table": tmp_path / "t.md", "figures": (tmp_path / "s.png",)}
    ablations.main(metrics=(tmp_path / "m.parquet",), studies=("s:a,b",), **outputs)
    assert "| b | 30.0 (+20.0) |" in outputs["table"].read_text()
    assert capsys.readouterr().out == outputs["table"].read_text()
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width > 200
    with pytest.raises(InputError, match="expected 2 files, found 1"):
        ablations.main(metrics=(tmp_path / "m.parquet",), studies=("s:a,b", "t:b,a"), **outputs)
