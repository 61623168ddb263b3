from pathlib import Path

import polars as pl
import pytest

from sauropod.errors import InputError
from sauropod.report.charts import Dot
from sauropod.report.charts import Path as Line
from sauropod.report.curves import Chart, Run, read_run, run_name


def _write(folder: Path, columns: dict[str, list]) -> Path:
    path = folder / "results" / "pretrain" / "main" / "log.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)
    return path


def _titles(run: Run) -> dict[str, list[str]]:
    return {group: [chart.title for chart in charts] for group, charts in run.groups.items()}


def _chart(run: Run, title: str) -> Chart:
    return next(c for charts in run.groups.values() for c in charts if c.title == title)


def _styles(chart: Chart, style: str) -> list:
    return [m for m in chart.marks if isinstance(m, Line) and m.style.startswith(style)]


def test_every_column_is_drawn_once_in_its_group(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        {
            "step": [10, 20],
            "images_per_s": [30.0, 50.0],
            "wait_share": [0.0, 0.02],
            "mfu": [None, None],
            "skipped": [0.0, 1.0],
            "loss": [3.0, 2.5],
            "loss/ibot": [1.0, None],
            "grad_norm/backbone": [1.0, 1.0],
            "health/prototype_entropy": [0.5, 0.6],
            "health/assignment_entropy": [0.2, 0.3],
            "probe/objects": [None, 0.25],
            "lr": [1e-3, 5e-4],
            "backbone_lr": [1e-3, 5e-4],
            "something": [1.0, 2.0],
            "words": ["not", "drawn"],
        },
    )
    run = read_run(path)
    assert (run.name, run.steps) == ("pretrain/main", 20)
    assert _titles(run) == {
        "Learning": ["Loss", "Losses", "Gradient norm", "k-NN probe"],
        "Health": ["Entropy"],
        "Speed": ["Throughput", "Waiting for data", "Left out"],
        "Schedules": ["Learning rate"],
        "Other": ["something"],
    }
    assert list(run.shown) == ["Learning", "Health"]
    assert list(run.folded) == ["Speed", "Schedules", "Other"]
    assert _chart(run, "Losses").legend == (("ibot", "1"),)
    assert [name for name, _ in _chart(run, "Learning rate").legend] == ["lr", "backbone_lr"]
    assert run.facts == (
        "last loss 2.5",
        "40 images/s",
        "1% waiting for data",
        "1 steps skipped",
        "best k-NN on objects 25.0%",
    )


def test_students_have_charts_of_their_own(tmp_path: Path) -> None:
    columns = {
        f"{kind}/{student}/{part}": [1.0, 2.0]
        for kind, part in (("loss", "ibot"), ("loss", "koleo"), ("grad_norm", "backbone"))
        for student in ("vit_small", "vit_base")
    }
    run = read_run(_write(tmp_path, {"step": [1, 2], "loss": [8.0, 4.0], **columns}))
    assert _titles(run)["Learning"] == [
        "Loss",
        "Losses, vit_small",
        "Losses, vit_base",
        "Gradient norm, vit_small",
        "Gradient norm, vit_base",
    ]
    assert [name for name, _ in _chart(run, "Losses, vit_base").legend] == ["ibot", "koleo"]


def test_a_resumed_run_is_one_line(tmp_path: Path) -> None:
    """Rows of a run that was killed and of the one that went on, in any order."""
    steps = [30, 40, 10, 20, 20]
    losses = [3.0, 4.0, 1.0, 9.0, 2.0]  # step 20 was done twice; the later row counts
    run = read_run(_write(tmp_path, {"step": steps, "loss": losses}))
    (line,) = _styles(_chart(run, "Loss"), "line")
    assert len(line.points) == 4
    assert (line.points[1:, 0] > line.points[:-1, 0]).all()
    assert (line.points[1:, 1] < line.points[:-1, 1]).all()
    assert run.facts == ("last loss 4",)


def test_rare_rows_are_joined(tmp_path: Path) -> None:
    """Between two probes there are rows without one: no gap."""
    probes = [None, 0.1, None, None, 0.4, None]
    chart = _chart(
        read_run(_write(tmp_path, {"step": list(range(6)), "probe/objects": probes})), "k-NN probe"
    )
    (line,) = _styles(chart, "line")
    assert len(line.points) == 2
    assert len([m for m in chart.marks if isinstance(m, Dot)]) == 2
    assert chart.alt == "k-NN probe of pretrain/main by step: objects ends at 0.4"


def test_skipped_steps_are_marked(tmp_path: Path) -> None:
    columns = {
        "step": [10, 20, 30, 40],
        "skipped": [1.0, 1.0, 3.0, 3.0],  # in the first row already
        "loss": [None, 2.0, 2.0, 1.0],
        "wait_share": [0.0] * 4,
    }
    run = read_run(_write(tmp_path, columns))
    assert len(_styles(_chart(run, "Loss"), "skip")) == 2
    assert not _styles(_chart(run, "Waiting for data"), "skip")


def test_advice_is_read_off_the_log(tmp_path: Path) -> None:
    run = read_run(_write(tmp_path, {"step": [1, 2, 3], "wait_share": [0.3, 0.3, 0.3]}))
    assert len(run.advice) == 1
    assert "30% of the time" in run.advice[0]


def test_an_empty_log_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame(
        schema={"step": pl.Int64, "loss": pl.Float64, "skipped": pl.Float64}
    ).write_parquet(path)
    run = read_run(path)
    assert (run.steps, run.groups, run.facts) == (0, {}, ())


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"url": ["x"]}).write_parquet(path)
    with pytest.raises(InputError, match="columns url"):
        read_run(path)
    with pytest.raises(InputError, match="a training log"):
        read_run(tmp_path / "none.parquet")


def test_run_name() -> None:
    assert run_name(Path("results/adapt/main/log.parquet")) == "adapt/main"
    assert run_name(Path("results/train_sscd/log.parquet")) == "train_sscd"
    assert run_name(Path("/runs/demo/results/adapt/main/log.parquet")) == "adapt/main"
    assert run_name(Path("log.parquet")) == ""
