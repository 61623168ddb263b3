from pathlib import Path

import polars as pl
import pytest

from sauropod.errors import InputError
from sauropod.report.curves import read_run, run_name


def test_losses_come_first(tmp_path: Path) -> None:
    path = tmp_path / "results" / "pretrain" / "main" / "log.parquet"
    path.parent.mkdir(parents=True)
    frame = pl.DataFrame(
        {
            "step": [10, 20],
            "images_per_s": [30.0, 50.0],
            "loss": [3.0, 2.5],
            "loss/ibot": [1.0, None],
            "grad_norm/backbone": [1.0, 1.0],
            "lr": [1e-3, 5e-4],
        }
    )
    frame.write_parquet(path)
    run = read_run(path)
    assert (run.name, run.steps, run.images_per_s, run.last_loss) == (
        "pretrain/main",
        20,
        "40",
        "2.5",
    )
    assert [chart.title for chart in run.charts] == ["Loss", "Gradient norm"]
    assert run.charts[0].legend == (("loss", "2.5"), ("loss/ibot", "1"))
    assert [chart.title for chart in run.more] == ["lr"]


def test_an_empty_log_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame(schema={"step": pl.Int64, "loss": pl.Float64}).write_parquet(path)
    assert read_run(path).steps == 0


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"url": ["x"]}).write_parquet(path)
    with pytest.raises(InputError, match="columns url"):
        read_run(path)
    with pytest.raises(InputError, match="a training log"):
        read_run(tmp_path / "none.parquet")


def test_run_name() -> None:
    assert run_name(Path("results/adapt/main/log.parquet")) == "adapt/main"
