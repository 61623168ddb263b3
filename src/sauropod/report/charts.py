"""Charts as inline SVG: colours come from the page's CSS, so that they follow light and dark."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 34
MAX_POINTS = 240
NUM_COLOURS = 8


@dataclass(frozen=True)
class Series:
    """A named line: x ascending, float (n,); y float (n,); points that are not finite are gaps."""

    name: str
    x: np.ndarray
    y: np.ndarray


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
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
    if size >= 1e4:
        return f"{value / 1e3:.3g}k"
    return f"{value:.3g}"


def thin(series: Series) -> Series:
    """Average neighbouring points until at most MAX_POINTS are left."""
    count = len(series.x)
    if count <= MAX_POINTS:
        return series
    edges = np.linspace(0, count, MAX_POINTS + 1).astype(int)
    pairs = list(itertools.pairwise(edges.tolist()))
    x = np.array([series.x[a:b].mean() for a, b in pairs])
    return Series(series.name, x, np.array([series.y[a:b].mean() for a, b in pairs]))


def _range(values: Sequence[np.ndarray]) -> tuple[float, float]:
    joined = np.concatenate(values) if values else np.zeros(0)
    joined = joined[np.isfinite(joined)]
    if not len(joined):
        return 0.0, 1.0
    low, high = float(joined.min()), float(joined.max())
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def _path(x: np.ndarray, y: np.ndarray) -> str:
    words, pen_down = [], False
    for left, top in zip(x, y, strict=True):
        if not (math.isfinite(left) and math.isfinite(top)):
            pen_down = False
            continue
        words.append(f"{'L' if pen_down else 'M'}{left:.1f} {top:.1f}")
        pen_down = True
    return "".join(words)


def _grid(x_range: tuple[float, float], y_range: tuple[float, float], *, x_label: str) -> list[str]:
    (x0, x1), (y0, y1) = x_range, y_range
    parts = []
    for value in ticks(y0, y1):
        y = HEIGHT - BOTTOM - (value - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{spell(value)}</text>'
        )
    for value in ticks(x0, x1):
        x = LEFT + (value - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        place = f'x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle"'
        parts.append(f"<text {place}>{spell(value)}</text>")
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end" class="axis">'
        f"{escape(x_label)}</text>"
    )
    return parts


def line_chart(series: Sequence[Series], *, alt: str, x_label: str = "step") -> Markup:
    """Draw lines over a common axis.

    Args:
        series: Lines; the n-th gets the page's n-th colour.
        alt: What the chart shows, for people who do not see it.
        x_label: Word under the axis.
    """
    lines = [thin(one) for one in series]
    x_values = [one.x for one in lines if len(one.x)]
    x_low, x_high = (
        (float(min(x.min() for x in x_values)), float(max(x.max() for x in x_values)))
        if x_values
        else (0.0, 1.0)
    )
    x_range = x_low, x_high if x_high > x_low else x_low + 1.0
    y_range = _range([one.y for one in lines])
    parts = _grid(x_range, y_range, x_label=x_label)
    for index, one in enumerate(lines):
        share_x = (one.x - x_range[0]) / (x_range[1] - x_range[0])
        share_y = (one.y - y_range[0]) / (y_range[1] - y_range[0])
        path = _path(
            LEFT + share_x * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - share_y * (HEIGHT - TOP - BOTTOM),
        )
        parts.append(f'<path class="line s{index % NUM_COLOURS}" d="{path}"/>')
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">'
        f"{''.join(parts)}</svg>"
    )
