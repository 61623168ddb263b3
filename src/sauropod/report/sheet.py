"""All charts of a run on one PNG, for where HTML does not reach: the page's marks, in its colours.

Pillow paints the marks that the page shows as SVG, so no plotting library is needed. Coordinates
are those of a chart; SCALE pixels are painted for each and half of them kept, for smooth edges.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path as FilePath

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from sauropod import io
from sauropod.report.charts import HEIGHT, NUM_COLOURS, WIDTH, Dot, Mark, Path, Words
from sauropod.report.curves import Chart, Run

COLUMNS, MARGIN, GAP = 4, 24, 20
HEAD, GROUP, TITLE, LEGEND = 84, 26, 22, 16
LETTERS = 20  # that fit on half a line of a legend
SCALE = 4
THIN = ("grid", "thin")
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
STYLE = FilePath(__file__).with_name("style.css.jinja")


class Pen:
    """Paints on one page, at coordinates of charts."""

    def __init__(self, width: int, height: int) -> None:
        """Start with an empty page in the page's light colours."""
        light = STYLE.read_text().partition("}")[0]
        self._theme: dict[str, str] = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light))
        self._large = Image.new("RGB", (width * SCALE, height * SCALE), self._theme["card"])
        self._draw = ImageDraw.Draw(self._large)

    @property
    def image(self) -> Image.Image:
        """The page, at two pixels per coordinate."""
        return self._large.reduce(SCALE // 2)

    def _colour(self, style: str) -> str:
        """Colour of a CSS class such as `line s0`."""
        word = style.split()[-1]
        own = {"grid": "line", "skip": "bad", "soft": "soft"}
        return self._theme[own.get(word, word.replace("s", "c"))]

    def text(
        self, at: tuple[float, float], text: str, *, size: float, ink: str, anchor: str = "start"
    ) -> None:
        """Write on a baseline, in the theme's colour `ink`."""
        font = ImageFont.load_default(size * SCALE)
        x, y = at[0] * SCALE, at[1] * SCALE
        self._draw.text((x, y), text, fill=self._theme[ink], font=font, anchor=ANCHORS[anchor])

    def mark(self, mark: Mark, *, left: float, top: float) -> None:
        """Paint a mark of the chart whose corner is at (left, top)."""
        match mark:
            case Path(style, points, filled):
                at = [tuple(xy) for xy in ((points + np.array([left, top])) * SCALE).tolist()]
                if filled:
                    # The page's opacity of a band, on the card's white.
                    ink = np.array(ImageColor.getrgb(self._colour(style)))
                    self._draw.polygon(at, fill=tuple((255 - (255 - ink) * 0.18).astype(int)))
                else:
                    width = SCALE if style.startswith(THIN) else 2 * SCALE
                    self._draw.line(at, fill=self._colour(style), width=width, joint="curve")
            case Dot(style, x, y):
                at = (left + x) * SCALE, (top + y) * SCALE
                self._draw.circle(at, 2.2 * SCALE, fill=self._colour(style))
            case Words(x, y, anchor, text):
                self.text((left + x, top + y), text, size=10, ink="soft", anchor=anchor)


def sheet(run: Run) -> Image.Image:
    """Paint a run's key figures and its charts, COLUMNS in a row, group by group."""
    top, rows = HEAD, []
    for group, charts in run.groups.items():
        rows.append((top, group, ()))
        top += GROUP
        for start in range(0, len(charts), COLUMNS):
            row = charts[start : start + COLUMNS]
            rows.append((top, "", row))
            top += max(map(_height, row)) + GAP
    pen = Pen(2 * MARGIN + COLUMNS * (WIDTH + GAP) - GAP, top)
    pen.text((MARGIN, MARGIN + 14), run.name, size=18, ink="ink")
    facts = ", ".join((f"{run.steps:,} steps", *run.facts))
    pen.text((MARGIN, MARGIN + 36), facts, size=12, ink="soft")
    for top, group, charts in rows:
        pen.text((MARGIN, top + 14), group, size=14, ink="accent")
        for column, chart in enumerate(charts):
            _paint(pen, chart, left=MARGIN + column * (WIDTH + GAP), top=top)
    return pen.image


def _keys(chart: Chart) -> int:
    """Legend entries that fit on a line."""
    return 2 if all(len(f"{name} {value}") <= LETTERS for name, value in chart.legend) else 1


def _height(chart: Chart) -> int:
    return TITLE + HEIGHT + LEGEND * math.ceil(len(chart.legend) / _keys(chart))


def _paint(pen: Pen, chart: Chart, *, left: float, top: float) -> None:
    """Title, marks and legend of a chart."""
    pen.text((left, top + 12), chart.title, size=12, ink="ink")
    for mark in chart.marks:
        pen.mark(mark, left=left, top=top + TITLE)
    keys = _keys(chart)
    for index, (name, value) in enumerate(chart.legend):
        x = left + index % keys * WIDTH / 2
        y = top + TITLE + HEIGHT + LEGEND * (index // keys) + 10
        swatch = Path(f"line s{index % NUM_COLOURS}", np.array([[0, -4], [10, -4]]))
        pen.mark(swatch, left=x, top=y)
        pen.text((x + 15, y), f"{name} {value}", size=11, ink="soft")


def save_all(runs: Iterable[Run], folder: FilePath) -> None:
    """Write every run's sheet as PNG, atomically: pretrain/main becomes pretrain-main.png."""
    for run in runs:
        with io.replacing(folder / f"{run.name.replace('/', '-')}.png") as temporary:
            sheet(run).save(temporary, "PNG")
