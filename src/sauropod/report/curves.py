"""Training logs as charts: losses first, then gradient norms, diagnostics and schedules."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from markupsafe import Markup

from sauropod.errors import InputError
from sauropod.report.charts import Series, line_chart, spell

SPEED = ("images_per_s", "wait_share", "replaced", "skipped")


@dataclass(frozen=True)
class Chart:
    """One chart with its legend: (name, last value) per line."""

    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Run:
    """One training run: steps, images per second (median), last loss, charts of losses and rest."""

    name: str
    steps: int
    images_per_s: str
    last_loss: str
    charts: tuple[Chart, ...]
    more: tuple[Chart, ...]


def run_name(path: Path) -> str:
    """Name a run by the two folders its log lies in: results/pretrain/main/log.parquet."""
    return "/".join(path.parent.parts[-2:])


def _chart(frame: pl.DataFrame, columns: list[str], *, title: str, run: str) -> Chart:
    x = frame["step"].cast(pl.Float64).to_numpy()
    series, legend = [], []
    for column in columns:
        y = frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        series.append(Series(column, x, y))
        known = y[np.isfinite(y)]
        legend.append((column, spell(float(known[-1])) if len(known) else "-"))
    svg = line_chart(series, alt=f"{title} of {run} by step: {', '.join(columns)}")
    return Chart(title, svg, tuple(legend))


def read_run(path: Path) -> Run:
    """Read one log.parquet: a `step` column, every other numeric column is drawn.

    Raises:
        InputError: not a training log.
    """
    fix = "give the log.parquet that training wrote"
    try:
        frame = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(path, expected="a training log", found=str(error), fix=fix) from error
    if "step" not in frame.columns:
        found = f"columns {', '.join(frame.columns[:5])}"
        raise InputError(path, expected="a column step", found=found, fix=fix)
    run = run_name(path)
    numeric = [name for name, kind in frame.schema.items() if kind.is_numeric() and name != "step"]
    losses = [name for name in numeric if name == "loss" or name.startswith("loss/")]
    norms = [name for name in numeric if name.startswith("grad_norm")]
    rest = [name for name in numeric if name not in {*losses, *norms, *SPEED}]
    charts = [
        _chart(frame, columns, title=title, run=run)
        for title, columns in (("Loss", losses), ("Gradient norm", norms))
        if columns
    ]
    more = [_chart(frame, [name], title=name, run=run) for name in rest]
    speed = frame["images_per_s"].median() if "images_per_s" in frame.columns else None
    last = charts[0].legend[0][1] if losses else "-"
    steps = int(frame["step"].max() or 0) if frame.height else 0  # type: ignore[arg-type]
    images_per_s = f"{speed:,.0f}" if isinstance(speed, float) else "-"
    return Run(run, steps, images_per_s, last, tuple(charts), tuple(more))
