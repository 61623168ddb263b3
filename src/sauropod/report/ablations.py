"""Ablation studies: what changes from one model to the next, as a table and as a figure.

A study is a row of models that were trained alike but for one thing. Its table has a line per model
and a column per benchmark and headline metric, the floors above and standard errors below; its
figure a chart per benchmark, the models along the x axis in the study's order, the floors dashed.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.headline import Headline, headlines_of
from sauropod.report.charts import HEIGHT, NUM_COLOURS, WIDTH, Level, Panel, Path, Series, draw
from sauropod.report.sheet import Pen

MARGIN, TITLE, LEGEND, COLUMNS = 20, 24, 16, 3
HEAD = 58
KEY = "dashed: colours alone, and chance (grey if all lines share it); bars: a standard error"
FLOORS = ("chance", "colour")
ACCURACY = r".*_(top1|any_of)"
"""Metrics that are a share of independent images, whose standard error is that of a share."""
APART = 0.1
"""How far the lines of a chart stand beside each other, models."""


@dataclass(frozen=True)
class Study:
    """Models in the order in which they are compared."""

    name: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A headline's values by model, nan where it was not measured, and the floors there are."""

    values: tuple[float, ...]
    errors: tuple[float, ...]
    """Standard errors; nan where the metric has none."""
    floors: Mapping[str, float]


def parse(text: str) -> Study:
    """Read `name:model,model,...`.

    Raises:
        InputError: not of that form, or fewer than two models.
    """
    name, _, models = text.partition(":")
    found = tuple(model for model in models.split(",") if model)
    if not name or len(found) < 2:
        flag, fix = f"--studies {text}", "write name:model,model"
        raise InputError(flag, expected="a study of two models or more", found=models, fix=fix)
    return Study(name, found)


def columns_of(metrics: pl.DataFrame, study: Study) -> dict[tuple[str, Headline], Column]:
    """Each model's best value by benchmark and headline, in the headline's unit.

    Raises:
        InputError: a model of the study was measured nowhere.
    """
    of = metrics.filter(pl.col("model").is_in([*study.models, *FLOORS]))
    if lost := [model for model in study.models if model not in set(of["model"])]:
        where, fix = f"study {study.name}", "measure it, or take it out of the study"
        raise InputError(where, expected=f"metrics of {lost[0]}", found="none", fix=fix)
    found = {}
    measured = of.filter(pl.col("model").is_in(study.models))
    for benchmark in measured["benchmark"].unique(maintain_order=True):
        own = of.filter(pl.col("benchmark") == benchmark)
        named = measured.filter(pl.col("benchmark") == benchmark)["metric"]
        for headline in headlines_of(named):
            best = {model: _best(own, model, headline) for model in (*study.models, *FLOORS)}
            values, errors = zip(*(best[model] for model in study.models), strict=True)
            floors = {name: best[name][0] for name in FLOORS if math.isfinite(best[name][0])}
            found[benchmark, headline] = Column(values, errors, floors)
    return found


def _best(metrics: pl.DataFrame, model: str, headline: Headline) -> tuple[float, float]:
    """A model's best value of a benchmark, and its standard error; nan where there is none."""
    rows = [
        (row["value"], row["num_samples"] if re.fullmatch(ACCURACY, row["metric"]) else 0)
        for row in metrics.filter(pl.col("model") == model).iter_rows(named=True)
        if re.fullmatch(headline.pattern, row["metric"])
    ]
    if not rows:
        return math.nan, math.nan
    value, count = (min if headline.lower else max)(rows)
    error = math.sqrt(value * (1 - value) / count) if count else math.nan
    return headline.unit * value, headline.unit * error


def table(metrics: pl.DataFrame, study: Study) -> str:
    """The study as Markdown: the change to the line above in brackets."""
    columns = columns_of(metrics, study)
    head = [study.name, *(f"{benchmark} {one.label}" for benchmark, one in columns)]
    told = list(columns.items())
    floors = [
        [name, *(_told(column.floors.get(name, math.nan), one) for (_, one), column in told)]
        for name in FLOORS
        if any(name in column.floors for _, column in told)
    ]
    models = [
        [model, *(_changed(column.values, place, one) for (_, one), column in told)]
        for place, model in enumerate(study.models)
    ]
    errors = [np.array(column.errors)[np.isfinite(column.errors)] for _, column in told]
    ends = [f"{one.max():.1f}" if len(one) else "" for one in errors]
    lines = [head, ["---"] * len(head), *floors, *models]
    if any(ends):
        lines.append(["standard error, at most", *ends])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _told(value: float, headline: Headline, *, sign: str = "") -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:{sign}.{1 if headline.unit != 1.0 else 3}f}"


def _changed(values: tuple[float, ...], place: int, headline: Headline) -> str:
    change = values[place] - values[place - 1] if place else math.nan
    after = f" ({_told(change, headline, sign='+')})" if math.isfinite(change) else ""
    return _told(values[place], headline) + after


def figure(metrics: pl.DataFrame, study: Study) -> Image.Image:
    """The study as a picture: a chart per benchmark, a line per headline metric."""
    by_benchmark: dict[str, dict[Headline, Column]] = {}
    for (benchmark, headline), column in columns_of(metrics, study).items():
        by_benchmark.setdefault(benchmark, {})[headline] = column
    lines = max(map(len, by_benchmark.values()))
    cell = TITLE + HEIGHT + LEGEND * lines + MARGIN
    rows, names = -(-len(by_benchmark) // COLUMNS), len(study.models)
    across = min(COLUMNS, len(by_benchmark))
    height = HEAD + rows * cell + LEGEND * names + MARGIN
    pen = Pen(MARGIN + across * (WIDTH + MARGIN), height)
    pen.text((MARGIN, MARGIN + 10), study.name, size=16, ink="ink")
    pen.text((MARGIN, MARGIN + 28), KEY, size=11, ink="soft")
    for place, (benchmark, columns) in enumerate(by_benchmark.items()):
        left = MARGIN + place % COLUMNS * (WIDTH + MARGIN)
        top = HEAD + place // COLUMNS * cell
        _chart(pen, benchmark, columns, at=(left, top))
    foot = HEAD + rows * cell + 10
    for place, model in enumerate(study.models):
        pen.text((MARGIN, foot + LEGEND * place), f"{place + 1} {model}", size=11, ink="soft")
    return pen.image


def _chart(
    pen: Pen, title: str, columns: Mapping[Headline, Column], *, at: tuple[float, float]
) -> None:
    left, top = at
    count = len(next(iter(columns.values())).values)
    unit = "metres" if all(one.unit == 1.0 for one in columns) else "%"
    panel = Panel(title, unit, _series(columns), levels=_levels(columns))
    ticks = [float(place + 1) for place in range(count)]
    pen.text((left, top + 14), title, size=12, ink="ink")
    for mark in draw(panel, over=(0.5, count + 0.5), x_label="model", x_ticks=ticks):
        pen.mark(mark, left=left, top=top + TITLE)
    for index, one in enumerate(columns):
        y = top + TITLE + HEIGHT + LEGEND * index + 10
        swatch = Path(f"line s{index % NUM_COLOURS}", np.array([[0, -4], [10, -4]]))
        pen.mark(swatch, left=left, top=y)
        pen.text((left + 15, y), one.label, size=11, ink="soft")


def _series(columns: Mapping[Headline, Column]) -> tuple[Series, ...]:
    """Lines side by side, so that no error bar hides another."""
    middle = (len(columns) - 1) / 2
    return tuple(
        Series(
            headline.label,
            np.arange(1.0, len(column.values) + 1) + APART * (index - middle),
            np.array(column.values),
            np.array(column.errors),
        )
        for index, (headline, column) in enumerate(columns.items())
    )


def _levels(columns: Mapping[Headline, Column]) -> tuple[Level, ...]:
    """The floors: one that is the same for all lines once, in no line's colour."""
    found = []
    for name in FLOORS:
        values = [column.floors.get(name, math.nan) for column in columns.values()]
        known = [value for value in values if math.isfinite(value)]
        if len(known) > 1 and len(set(known)) == 1:
            found.append(Level(known[0], "soft"))
            continue
        found += [
            Level(value, f"s{index % NUM_COLOURS}")
            for index, value in enumerate(values)
            if math.isfinite(value)
        ]
    return tuple(found)
