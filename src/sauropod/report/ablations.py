"""Ablation studies: what changes from one model to the next, as a table and as a figure.

A study is a row of models that were trained alike but for one thing. Its table has a line per model
and a column per benchmark and headline metric; its figure a chart per benchmark, the models along
the x axis in the study's order.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.headline import Headline, headlines_of
from sauropod.report.charts import HEIGHT, NUM_COLOURS, WIDTH, Panel, Path, Series, draw
from sauropod.report.sheet import Pen

MARGIN, TITLE, LEGEND, COLUMNS = 20, 24, 16, 3


@dataclass(frozen=True)
class Study:
    """Models in the order in which they are compared."""

    name: str
    models: tuple[str, ...]


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


def values_of(metrics: pl.DataFrame, study: Study) -> dict[tuple[str, Headline], list[float]]:
    """Each model's best value by benchmark and headline; nan where it was not measured.

    Raises:
        InputError: a model of the study was measured nowhere.
    """
    of = metrics.filter(pl.col("model").is_in(study.models))
    if lost := [model for model in study.models if model not in set(of["model"])]:
        where, fix = f"study {study.name}", "measure it, or take it out of the study"
        raise InputError(where, expected=f"metrics of {lost[0]}", found="none", fix=fix)
    found: dict[tuple[str, Headline], list[float]] = {}
    for benchmark in of["benchmark"].unique(maintain_order=True):
        own = of.filter(pl.col("benchmark") == benchmark)
        for column in headlines_of(own["metric"]):
            rows = [row for row in own.rows() if re.fullmatch(column.pattern, row[2])]
            best = min if column.lower else max
            found[benchmark, column] = [
                column.unit
                * best((row[3] for row in rows if row[0] == model), default=float("nan"))
                for model in study.models
            ]
    return found


def table(metrics: pl.DataFrame, study: Study) -> str:
    """The study as Markdown: the change to the line above in brackets."""
    values = values_of(metrics, study)
    head = [study.name, *(f"{benchmark} {column.label}" for benchmark, column in values)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for place, model in enumerate(study.models):
        cells = []
        for (_, column), row in values.items():
            digits = 1 if column.unit != 1.0 else 3
            change = f" ({row[place] - row[place - 1]:+.{digits}f})" if place else ""
            cells.append(f"{row[place]:.{digits}f}{change}")
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(metrics: pl.DataFrame, study: Study) -> Image.Image:
    """The study as a picture: a chart per benchmark, a line per headline metric."""
    by_benchmark: dict[str, dict[Headline, list[float]]] = {}
    for (benchmark, column), row in values_of(metrics, study).items():
        by_benchmark.setdefault(benchmark, {})[column] = row
    lines = max(map(len, by_benchmark.values()))
    cell = TITLE + HEIGHT + LEGEND * lines + MARGIN
    rows, names = -(-len(by_benchmark) // COLUMNS), len(study.models)
    across = min(COLUMNS, len(by_benchmark))
    height = MARGIN + TITLE + rows * cell + LEGEND * names + MARGIN
    pen = Pen(MARGIN + across * (WIDTH + MARGIN), height)
    pen.text((MARGIN, MARGIN + 10), study.name, size=16, ink="ink")
    for place, (benchmark, columns) in enumerate(by_benchmark.items()):
        left = MARGIN + place % COLUMNS * (WIDTH + MARGIN)
        top = MARGIN + TITLE + place // COLUMNS * cell
        _chart(pen, benchmark, columns, at=(left, top))
    foot = MARGIN + TITLE + rows * cell + 10
    for place, model in enumerate(study.models):
        pen.text((MARGIN, foot + LEGEND * place), f"{place + 1} {model}", size=11, ink="soft")
    return pen.image


def _chart(
    pen: Pen, title: str, columns: Mapping[Headline, Sequence[float]], *, at: tuple[float, float]
) -> None:
    left, top = at
    count = len(next(iter(columns.values())))
    places = np.arange(1, count + 1, dtype=float)
    series = tuple(Series(one.label, places, np.array(row)) for one, row in columns.items())
    unit = "metres" if all(one.unit == 1.0 for one in columns) else "%"
    pen.text((left, top + 14), title, size=12, ink="ink")
    for mark in draw(Panel(title, unit, series), over=(1.0, float(count)), x_label="model"):
        pen.mark(mark, left=left, top=top + TITLE)
    for index, one in enumerate(columns):
        y = top + TITLE + HEIGHT + LEGEND * index + 10
        swatch = Path(f"line s{index % NUM_COLOURS}", np.array([[0, -4], [10, -4]]))
        pen.mark(swatch, left=left, top=y)
        pen.text((left + 15, y), one.label, size=11, ink="soft")
