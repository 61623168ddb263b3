"""METRICS as tables: models by benchmarks with floors beside, claims, and truth checks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from sauropod.evaluate.headline import Headline, headlines_of

FLOORS = ("colour", "chance")
CLAIM = "claim:"
TRUTH = "truth"
SHARE = "class_share:"
LABELS = {"linear_top1": "linear"}


@dataclass(frozen=True)
class Cell:
    """A score as told, whether it is the column's best, and its share (0..1) for the bar."""

    text: str
    best: bool
    share: float


@dataclass(frozen=True)
class ScoreTable:
    """Models by columns (benchmark, headline); `floors` are rows of the same shape."""

    columns: tuple[tuple[str, str], ...]
    models: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    floors: tuple[tuple[str, tuple[Cell | None, ...]], ...]


@dataclass(frozen=True)
class Claim:
    """`better` beats `worse` on a benchmark: by `points`, plus or minus a standard error."""

    better: str
    worse: str
    benchmark: str
    metric: str
    better_value: float
    worse_value: float
    points: float
    error: float

    @property
    def verdict(self) -> str:
        """holds; does not hold; or holds within noise (less than two standard errors)."""
        if self.points <= 0:
            return "does not hold"
        return "holds" if self.points > 2 * self.error else "holds within noise"


def shown_metrics(names: Sequence[str]) -> list[str]:
    """The metrics of claims: k-NN with the smallest k, and the linear probe."""
    knn = sorted(
        (name for name in set(names) if name.startswith("knn") and name.endswith("_top1")),
        key=lambda name: int(name[3:].split("_")[0]),
    )
    return knn[:1] + (["linear_top1"] if "linear_top1" in names else [])


def label(metric: str) -> str:
    """Spell a metric for people: knn10_top1 -> 10-NN."""
    if metric.startswith("knn"):
        return f"{metric[3:].split('_')[0]}-NN"
    return LABELS.get(metric, metric)


def measured(metrics: pl.DataFrame) -> pl.DataFrame:
    """Rows that evaluate measured: neither claims nor truth checks."""
    return metrics.filter((pl.col("benchmark") != TRUTH) & ~pl.col("metric").str.starts_with(CLAIM))


def score_table(metrics: pl.DataFrame) -> ScoreTable | None:
    """Arrange headline numbers: models (in the order given) by benchmark; None without any."""
    frame = measured(metrics)
    columns: list[tuple[str, Headline]] = []
    for benchmark in sorted(frame["benchmark"].unique()):
        of = frame.filter(pl.col("benchmark") == benchmark)
        columns += [(benchmark, column) for column in headlines_of(of["metric"])]
    if not columns:
        return None
    values: dict[tuple[str, str], dict[str, float]] = {}
    for model, benchmark, metric, value in frame.select(
        "model", "benchmark", "metric", "value"
    ).rows():
        values.setdefault((model, benchmark), {})[metric] = value
    names = frame["model"].unique(maintain_order=True).to_list()
    models = [name for name in names if name not in FLOORS]
    found = {
        name: [column.best(values.get((name, benchmark), {})) for benchmark, column in columns]
        for name in names
    }
    best: list[float | None] = []
    for i, (_, column) in enumerate(columns):
        known = [value for name in models if (value := found[name][i]) is not None]
        best.append((min if column.lower else max)(known, default=None))

    def row(model: str) -> tuple[str, tuple[Cell | None, ...]]:
        cells: list[Cell | None] = []
        for (_, column), value, top in zip(columns, found[model], best, strict=True):
            share = 0.0 if column.lower or value is None else min(max(value, 0.0), 1.0)
            is_best = value == top and model not in FLOORS
            cells.append(None if value is None else Cell(column.told(value), is_best, share))
        return model, tuple(cells)

    floors = [name for name in FLOORS if name in names]
    heads = tuple((benchmark, column.label) for benchmark, column in columns)
    return ScoreTable(heads, tuple(map(row, models)), tuple(map(row, floors)))


def claims(metrics: pl.DataFrame) -> list[Claim]:
    """Read the claim rows (`claim:<metric>`, model `a > b`) and the two values behind each."""
    values = {
        (model, benchmark, metric): (value, count)
        for model, benchmark, metric, value, count in metrics.select(
            "model", "benchmark", "metric", "value", "num_samples"
        ).rows()
    }
    found = []
    for (model, benchmark, metric), (difference, _) in values.items():
        if not metric.startswith(CLAIM):
            continue
        better, _, worse = model.partition(" > ")
        name = metric.removeprefix(CLAIM)
        pair = [values.get((one, benchmark, name), (math.nan, 1)) for one in (better, worse)]
        error = math.sqrt(sum(v * (1 - v) / max(n, 1) for v, n in pair))
        found.append(
            Claim(
                better,
                worse,
                benchmark,
                name,
                pair[0][0],
                pair[1][0],
                100 * difference,
                100 * error,
            )
        )
    return found


def truth_rows(metrics: pl.DataFrame) -> list[tuple[str, str, float, int]]:
    """Truth checks: (what was checked, metric, value, number of planted things)."""
    frame = metrics.filter(
        (pl.col("benchmark") == TRUTH) & ~pl.col("metric").str.starts_with(SHARE)
    )
    return frame.select("model", "metric", "value", "num_samples").rows()


def class_shares(metrics: pl.DataFrame) -> list[tuple[str, float, float]]:
    """Class shares before and after curation: (class, before, after), largest before first."""
    frame = metrics.filter((pl.col("benchmark") == TRUTH) & pl.col("metric").str.starts_with(SHARE))
    shares: dict[str, dict[str, float]] = {}
    for model, metric, value in frame.select("model", "metric", "value").rows():
        shares.setdefault(metric.removeprefix(SHARE), {})[model] = value
    rows = [(name, at.get("pool", 0.0), at.get("manifest", 0.0)) for name, at in shares.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))
