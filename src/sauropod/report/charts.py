"""Charts as marks: laid out once, then painted as SVG for the page or as pixels for a PNG.

Colours are names of the page's CSS (`s0` a line's, `grid`, `skip`, ...), so that the SVG follows
light and dark. Coordinates are pixels of a chart WIDTH x HEIGHT, y downwards.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 264, 156
LEFT, RIGHT, TOP, BOTTOM = 40, 14, 22, 30
MAX_POINTS = 160
MAX_DOTS = 20
DASH = 5.0
NUM_COLOURS = 8


@dataclass(frozen=True)
class Series:
    """A named line: x ascending, float (n,); y float (n,); points that are not finite are gaps."""

    name: str
    x: np.ndarray
    y: np.ndarray
    error: np.ndarray | None = None
    """Half of an error bar, (n,); nan draws none. Of short lines only."""


@dataclass(frozen=True)
class Level:
    """A dashed line across the chart, in the colour of a CSS class (`s0`, `soft`)."""

    y: float
    colour: str


@dataclass(frozen=True)
class Panel:
    """One chart over a common x axis: the n-th line gets the page's n-th colour."""

    title: str
    unit: str
    """What y counts, written above its axis."""
    series: tuple[Series, ...]
    includes: tuple[float, ...] = ()
    """Values the y axis must reach."""
    skips: tuple[float, ...] = ()
    """x of steps without an update."""
    levels: tuple[Level, ...] = ()


class Path(NamedTuple):
    """A line through (n, 2) points, or the area they enclose."""

    style: str
    points: np.ndarray
    filled: bool = False


class Dot(NamedTuple):
    """A point of its own."""

    style: str
    x: float
    y: float


class Words(NamedTuple):
    """Text on a baseline; `anchor` is the point's place in it: start, middle or end."""

    x: float
    y: float
    anchor: str
    text: str


Mark = Path | Dot | Words
Place = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Binned(NamedTuple):
    """Means of neighbouring points with the least and largest of them, (n,) each."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) inside [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def spell(value: float) -> str:
    """Write a number shortly: 12k, 3.5, 2e-05."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.3g}M"
    if size >= 1e3:
        return f"{value / 1e3:.3g}k"
    return f"{value:.3g}"


def thin(series: Series) -> Binned:
    """Summarise neighbouring points until at most MAX_POINTS are left; short lines stay as is."""
    x, y = series.x, series.y
    if len(x) <= MAX_POINTS:
        return Binned(x, y, y, y)
    edges = np.linspace(0, len(x), MAX_POINTS + 1).astype(int).tolist()
    rows = []
    for a, b in itertools.pairwise(edges):
        known = y[a:b][np.isfinite(y[a:b])]
        spread = (known.mean(), known.min(), known.max()) if len(known) else (np.nan,) * 3
        rows.append((x[a:b].mean(), *spread))
    return Binned(*np.array(rows).T)


def draw(
    panel: Panel,
    *,
    over: tuple[float, float],
    x_label: str = "step",
    x_ticks: Sequence[float] | None = None,
) -> list[Mark]:
    """Lay out a panel: grid and axis words, then bands, lines, lone dots, and skipped steps.

    Args:
        panel: What to draw.
        over: Least and largest x, the same for charts to be compared.
        x_label: Word under the x axis.
        x_ticks: Numbers under the x axis; None takes round ones.
    """
    lines = [thin(one) for one in panel.series]
    low, high = y_range = _y_range(lines, (*panel.includes, *_reached(panel)))

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        across = (x - over[0]) / (over[1] - over[0])
        return np.stack(
            [
                LEFT + across * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
            ],
            axis=1,
        )

    bands, strokes = [], []
    for index, line in enumerate(lines):
        colour = f"s{index % NUM_COLOURS}"
        for run in _runs(line.y):
            x = line.x[run]
            if (line.low[run] < line.high[run]).any():
                edge = np.concatenate([place(x, line.high[run]), place(x, line.low[run])[::-1]])
                bands.append(Path(f"band {colour}", edge, filled=True))
            strokes.append(Path(f"line {colour}", place(x, line.y[run])))
        points = place(line.x, line.y)[np.isfinite(line.y)]
        if len(points) <= MAX_DOTS:
            strokes += [Dot(f"dot {colour}", x, y) for x, y in points.tolist()]
    for bar in _bars(panel):
        strokes.append(Path(bar.style, place(*bar.points.T)))
    for level in panel.levels:
        strokes += _dashes(level, place(np.array(over), np.full(2, level.y)))
    foot = HEIGHT - BOTTOM
    for x, _ in place(np.array(panel.skips), np.full(len(panel.skips), low)).tolist():
        strokes.append(Path("skip", np.array([[x, foot], [x, foot - 8]])))
    marks = ticks(*over) if x_ticks is None else x_ticks
    axes = _axes(over, y_range, place, words=(panel.unit, x_label), x_ticks=marks)
    return [*axes, *bands, *strokes]


def _bars(panel: Panel) -> list[Path]:
    """Error bars, in the panel's own numbers."""
    return [
        Path(f"thin s{index % NUM_COLOURS}", np.array([[x, y - error], [x, y + error]]))
        for index, one in enumerate(panel.series)
        if one.error is not None
        for x, y, error in zip(one.x, one.y, one.error, strict=True)
        if math.isfinite(y) and math.isfinite(error)
    ]


def _reached(panel: Panel) -> list[float]:
    """Values of error bars and levels."""
    ends = [float(y) for bar in _bars(panel) for y in bar.points[:, 1]]
    return [*ends, *(level.y for level in panel.levels)]


def _dashes(level: Level, ends: np.ndarray) -> list[Path]:
    """A dashed line between two points of one height."""
    (left, y), (right, _) = ends.tolist()
    starts = np.arange(left, right, 2 * DASH).tolist()
    return [
        Path(f"line {level.colour}", np.array([[x, y], [min(x + DASH, right), y]])) for x in starts
    ]


def _y_range(lines: Sequence[Binned], includes: tuple[float, ...]) -> tuple[float, float]:
    values = np.concatenate([np.array(includes), *(v for line in lines for v in line[1:])])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def _axes(
    over: tuple[float, float],
    y_range: tuple[float, float],
    place: Place,
    *,
    words: tuple[str, str],
    x_ticks: Sequence[float],
) -> list[Mark]:
    marks: list[Mark] = []
    for value in ticks(*y_range):
        ends = place(np.array(over), np.full(2, value))
        marks.append(Path("grid", ends))
        marks.append(Words(LEFT - 5, ends[0, 1] + 3.5, "end", spell(value)))
    for value in x_ticks:
        x = place(np.array([value]), np.zeros(1))[0, 0]
        marks.append(Words(x, HEIGHT - BOTTOM + 13, "middle", spell(value)))
    unit, x_label = words
    marks.append(Words(2, 10, "start", unit))
    marks.append(Words(WIDTH - RIGHT, HEIGHT - 3, "end", x_label))
    return marks


def _runs(y: np.ndarray) -> list[slice]:
    """Stretches of finite values."""
    known = np.concatenate([[False], np.isfinite(y), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1]).tolist()
    return [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def svg(marks: Sequence[Mark], *, alt: str) -> Markup:
    """Paint marks as an SVG element; `alt` is for people who do not see it."""
    parts = [_element(mark) for mark in marks]
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">'
        f"{''.join(parts)}</svg>"
    )


def _element(mark: Mark) -> str:
    match mark:
        case Path(style, points, filled):
            way = "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist())
            return f'<path class="{style}" d="M{way}{"Z" if filled else ""}"/>'
        case Dot(style, x, y):
            return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>'
        case Words(x, y, anchor, text):
            place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
            return f"<text {place}>{escape(text)}</text>"
