"""Training logs as small charts: learning, health, speed, schedules, and the rest."""

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from markupsafe import Markup

from sauropod.errors import InputError
from sauropod.report.charts import Mark, Panel, Series, draw, spell, svg
from sauropod.train.diagnosis import diagnose


@dataclass(frozen=True)
class Kind:
    """A chart: which columns it takes (names or patterns of them), and how its y axis is read."""

    title: str
    unit: str
    columns: tuple[str, ...]
    includes: tuple[float, ...] = ()


GROUPS: dict[str, tuple[Kind, ...]] = {
    "Learning": (
        Kind("Loss", "sum of the weighted losses", ("loss",)),
        Kind("Losses", "weighted loss", ("loss/*",)),
        Kind("Gradient norm", "L2 norm before clipping", ("grad_norm/*",), (0,)),
        Kind("k-NN probe", "top-1 accuracy, share", ("probe/*",)),
    ),
    "Health": (
        Kind("Entropy", "share of log K", ("health/*_entropy",), (0, 1)),
        Kind("Dead prototypes", "share", ("health/dead_prototypes",), (0,)),
        Kind("Rank of class tokens", "RankMe, dimensions", ("health/feature_rank",), (1,)),
        Kind("Spread of features", "1 = random directions", ("health/*_std",), (0, 1)),
    ),
    "Speed": (
        Kind("Throughput", "images/s", ("images_per_s",), (0,)),
        Kind("Time of a step", "s", ("seconds_per_step",), (0,)),
        Kind("Waiting for data", "share of the time", ("wait_share",), (0,)),
        Kind("FLOPs used", "share of the peak (MFU)", ("mfu",), (0,)),
        Kind("Peak memory", "GiB", ("peak_memory_gib",), (0,)),
        Kind("Left out", "total so far", ("skipped", "replaced"), (0,)),
    ),
    "Schedules": (
        Kind("Learning rate", "", ("lr", "*_lr"), (0,)),
        Kind("Weight decay", "", ("weight_decay",)),
        Kind("Teacher momentum", "", ("teacher_momentum",)),
        Kind("Teacher temperature", "", ("teacher_temp",)),
    ),
}
OPEN = ("Learning", "Health")
"""Groups that are shown at once; the others unfold."""


@dataclass(frozen=True)
class Chart:
    """One chart with its legend: (name, last value) per line."""

    title: str
    marks: tuple[Mark, ...]
    legend: tuple[tuple[str, str], ...]
    alt: str

    @property
    def svg(self) -> Markup:
        """The chart as SVG."""
        return svg(self.marks, alt=self.alt)


@dataclass(frozen=True)
class Run:
    """One training run: its charts by group, key figures and advice in words."""

    name: str
    steps: int
    facts: tuple[str, ...]
    advice: tuple[str, ...] = ()
    groups: dict[str, tuple[Chart, ...]] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, tuple[Chart, ...]]:
        """Groups to show at once."""
        return {name: charts for name, charts in self.groups.items() if name in OPEN}

    @property
    def folded(self) -> dict[str, tuple[Chart, ...]]:
        """The other groups."""
        return {name: charts for name, charts in self.groups.items() if name not in OPEN}


def run_name(path: Path) -> str:
    """Name a run by the folders its log lies in: results/pretrain/main/log.parquet."""
    parts = path.parent.parts[-2:]
    return "/".join(parts[1:] if parts[:1] == ("results",) else parts)


def read_run(path: Path) -> Run:
    """Read one log.parquet: a `step` column, every other numeric column is drawn.

    Raises:
        InputError: not a training log.
    """
    frame = _read(path)
    run = run_name(path)
    steps = int(frame["step"].max() or 0) if frame.height else 0  # type: ignore[arg-type]
    over = 0.0, float(max(1, steps))
    skips = ()
    if "skipped" in frame.columns:
        more = frame["skipped"].fill_null(strategy="forward").diff().fill_null(frame["skipped"][:1])
        skips = tuple(frame.filter(more > 0)["step"].cast(pl.Float64))
    groups: dict[str, tuple[Chart, ...]] = {}
    for group, kinds in _arrange(frame).items():
        marked = skips if group == "Learning" else ()
        charts = (_chart(frame, kind, over=over, skips=marked, run=run) for kind in kinds)
        groups[group] = tuple(charts)
    return Run(run, steps, _facts(frame), tuple(diagnose(frame.to_dicts())), groups)


def _read(path: Path) -> pl.DataFrame:
    fix = "give the log.parquet that training wrote"
    try:
        frame = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(path, expected="a training log", found=str(error), fix=fix) from error
    if "step" not in frame.columns:
        found = f"columns {', '.join(frame.columns[:5])}"
        raise InputError(path, expected="a column step", found=found, fix=fix)
    return frame.unique("step", keep="last").sort("step")


def _arrange(frame: pl.DataFrame) -> dict[str, list[Kind]]:
    """Kinds of charts by group, each with the columns of this log; a column is drawn once."""
    numeric = [name for name, kind in frame.schema.items() if kind.is_numeric()]
    left = [name for name in numeric if name != "step" and frame[name].count()]
    found: dict[str, list[Kind]] = {}
    for group, kinds in GROUPS.items():
        for kind in kinds:
            taken = [name for name in left if any(fnmatch.fnmatch(name, p) for p in kind.columns)]
            left = [name for name in left if name not in taken]
            found.setdefault(group, []).extend(_by_student(kind, taken))
    found["Other"] = [Kind(name, "", (name,)) for name in left]
    return {group: kinds for group, kinds in found.items() if kinds}


def _by_student(kind: Kind, columns: list[str]) -> list[Kind]:
    """Give every student a chart of its own: `loss/vit_small/ibot` is vit_small's."""
    of: dict[str, list[str]] = {}
    for column in columns:
        student = "/".join(column.split("/")[1:-1])
        of.setdefault(student, []).append(column)
    return [
        Kind(
            f"{kind.title}, {student}" if student else kind.title,
            kind.unit,
            tuple(some),
            kind.includes,
        )
        for student, some in of.items()
    ]


def _series(frame: pl.DataFrame, column: str) -> Series:
    """Rows that have the column: others, such as those between two probes, leave no gap."""
    rows = frame.select("step", column).drop_nulls()
    x = rows["step"].cast(pl.Float64).to_numpy()
    return Series(column.rpartition("/")[2], x, rows[column].cast(pl.Float64).to_numpy())


def _chart(
    frame: pl.DataFrame,
    kind: Kind,
    *,
    over: tuple[float, float],
    skips: tuple[float, ...],
    run: str,
) -> Chart:
    series = tuple(_series(frame, column) for column in kind.columns)
    panel = Panel(kind.title, kind.unit, series, kind.includes, skips)
    legend = []
    for one in series:
        known = one.y[np.isfinite(one.y)]
        legend.append((one.name, spell(float(known[-1])) if len(known) else "-"))
    alt = f"{kind.title} of {run} by step: " + ", ".join(f"{n} ends at {v}" for n, v in legend)
    return Chart(kind.title, tuple(draw(panel, over=over)), tuple(legend), alt)


def _facts(frame: pl.DataFrame) -> tuple[str, ...]:
    """Key figures in words: medians of the speed, last loss, best probe, steps left out."""
    forms = {
        "images_per_s": ("median", "{:,.0f} images/s"),
        "wait_share": ("median", "{:.0%} waiting for data"),
        "mfu": ("median", "{:.0%} MFU"),
        "peak_memory_gib": ("max", "{:.1f} GiB"),
        "skipped": ("max", "{:.0f} steps skipped"),
        "replaced": ("max", "{:.0f} images replaced"),
    }
    facts = []
    if "loss" in frame.columns and (known := frame["loss"].drop_nulls().to_list()):
        facts.append(f"last loss {spell(known[-1])}")
    for column, (statistic, form) in forms.items():
        value = getattr(frame[column], statistic)() if column in frame.columns else None
        if value is not None and (value or column not in ("skipped", "replaced")):
            facts.append(form.format(value))
    probes = [n for n in frame.columns if n.startswith("probe/") and frame[n].count()]
    return (*facts, *(f"best k-NN on {name[6:]} {frame[name].max():.1%}" for name in probes))
