r"""Measure the cost per image and the peak memory of the data stages at growing sizes.

    OMP_NUM_THREADS=1 python tests/bench/flat.py --rows 10000 100000 1000000 10000000 \
        --out flat.png                              # a Markdown table, and one chart per measure
    python tests/bench/flat.py --rows 10000 100000 --stage manifest

Each stage (tests/bench/flat_stages.py) runs as its script does, on synthetic files of a temporary
folder (flat_tables.py: vectors of 64 numbers; ten million rows take about 8 GB), in a process of
its own; small sizes run in several, of which the median counts. Memory is above that of the same
stage on 1,000 rows, whose time is the constant too. Time is of the processor. The slope is that of
log(time - constant) over log(rows): 1 is linear.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from turns import MIB, resident_bytes

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import flat_tables
from flat_stages import STAGES
from sauropod.io import commit
from sauropod.report import sheet
from sauropod.report.charts import WIDTH, Panel, Series, draw, spell
from sauropod.report.curves import Chart
from sauropod.retrieve import clusters

CONSTANT_ROWS = 1000
FEW = 100_000
LINES = 5  # of a chart, so that each has a colour


@dataclass(frozen=True)
class Measured:
    """A stage at a size: processor and wall-clock seconds, peak bytes of the process."""

    rows: int
    seconds: float
    wall: float
    peak: int


def measure(rows: int, stages: tuple[str, ...], folder: Path, *, repeats: int) -> list[Measured]:
    """Run each stage in a process of its own, on tables that one before them makes.

    Returns:
        Of each stage, of its `repeats` runs, the one whose processor time is the median.
    """
    words = [sys.executable, __file__, "--rows", str(rows), "--inside", str(folder), "--stage"]
    subprocess.run([*words, *stages, stages[0]], check=True)
    runs: dict[str, list[Measured]] = {stage: [] for stage in stages}
    for stage in stages * repeats:
        done = subprocess.run([*words, stage], stdout=subprocess.PIPE, check=True)
        runs[stage].append(Measured(**json.loads(done.stdout.splitlines()[-1])))
    return [sorted(found, key=lambda one: one.seconds)[repeats // 2] for found in runs.values()]


def work_inside(stages: tuple[str, ...], rows: int, folder: Path) -> None:
    """Make the tables of several stages, or do the work of one and print a line of JSON."""
    world = flat_tables.World(folder / "tables", rows)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        work, *others = [STAGES[stage](world, Path(out)) for stage in stages]
        if others:
            return
        start = time.process_time(), time.perf_counter()
        work()
        taken = time.process_time() - start[0], time.perf_counter() - start[1]
    told = {"rows": rows, "seconds": taken[0], "wall": taken[1]}
    print(json.dumps({**told, "peak": resident_bytes(peak=True)}))


def slope(constant: float, found: list[Measured]) -> float:
    """Exponent of the rows in what the time is above its constant; NaN of a single point.

    The constant is the time of CONSTANT_ROWS, so that both are counted from there.
    """
    above = [
        (one.rows - CONSTANT_ROWS, one.seconds - constant)
        for one in found
        if one.seconds > 2 * constant
    ]
    if len(above) < 2:
        return math.nan
    rows, seconds = np.log(np.array(above)).T
    return float(np.polyfit(rows, seconds, 1)[0])


def charts(results: dict[str, list[Measured]], base: dict[str, Measured]) -> list[Chart]:
    """Time per image and peak memory over the logarithm of the rows, of a few stages at a time."""
    drawn, names = [], list(results)
    sizes = [math.log10(one.rows) for found in results.values() for one in found]
    over = (min(sizes), max(sizes) + 1e-6)
    for first in range(0, len(names), LINES):
        some = names[first : first + LINES]
        for title, unit, value in (
            ("Time", "us per image", lambda m, _: m.seconds / m.rows * 1e6),
            ("Peak memory", "MiB above that of 1,000 images", lambda m, b: (m.peak - b.peak) / MIB),
        ):
            lines = []
            for stage in some:
                x = np.log10([one.rows for one in results[stage]])
                y = np.array([value(one, base[stage]) for one in results[stage]])
                lines.append(Series(stage, x, y))
            panel = Panel(title, unit, tuple(lines), includes=(0,))
            marks = tuple(draw(panel, over=over, x_label="log10 of images"))
            legend = tuple((line.name, spell(float(line.y[-1]))) for line in lines)
            drawn.append(Chart(title, marks, legend, title))
    return drawn


def paint(drawn: list[Chart], out: Path) -> None:
    """Write the charts as PNG, two a row, in the report's colours."""
    wide, high = WIDTH + 24, 260
    pen = sheet.Pen(2 * wide + 24, -(-len(drawn) // 2) * high + 12)
    for place, chart in enumerate(drawn):
        sheet._paint(pen, chart, left=24 + place % 2 * wide, top=12 + place // 2 * high)
    pen.image.save(out)


def main(
    rows: tuple[int, ...] = (10_000, 100_000),
    stage: tuple[str, ...] = tuple(STAGES),
    repeats: int = 3,
    out: Path | None = None,
    inside: Path | None = None,
) -> None:
    """Measure and print.

    Args:
        rows: Sizes of the pool.
        stage: Which stages.
        repeats: Runs of a size up to FEW rows; larger ones run once.
        out: File for the charts.
        inside: Work in this folder instead of measuring; used by the benchmark itself.
    """
    if inside is not None:
        work_inside(stage, rows[0], inside)
        return
    print(f"commit {commit()}; chunks of {clusters.CHUNK_ROWS:,} embeddings", flush=True)
    print("| stage | images | us per image | wall s | peak MiB above constant | B per image |")
    print("|---|---|---|---|---|---|")
    results: dict[str, list[Measured]] = {name: [] for name in stage}
    base: dict[str, Measured] = {}
    for size in (CONSTANT_ROWS, *rows):
        with tempfile.TemporaryDirectory() as folder:
            runs = measure(size, stage, Path(folder), repeats=repeats if size <= FEW else 1)
            for name, found in zip(stage, runs, strict=True):
                if size == CONSTANT_ROWS:
                    base[name] = found
                    continue
                results[name].append(found)
                above = found.peak - base[name].peak
                cells = [name, f"{size:,}", f"{found.seconds / size * 1e6:.2f}"]
                cells += [f"{found.wall:.1f}", f"{above / MIB:,.0f}", f"{above / size:.1f}"]
                print(f"| {' | '.join(cells)} |", flush=True)
    for name in stage:
        value = slope(base[name].seconds, results[name])
        print(f"slope of {name}: {value:.3f}, constant {base[name].seconds:.2f} s", flush=True)
    if out is not None:
        paint(charts(results, base), out)


if __name__ == "__main__":
    tyro.cli(main)
