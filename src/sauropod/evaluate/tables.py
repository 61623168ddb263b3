"""METRICS as plain text: numbers by benchmark and model, claims, checks against the truth."""

import polars as pl

from sauropod.evaluate.claims import PREFIX
from sauropod.evaluate.headline import headlines_of
from sauropod.evaluate.truth import BENCHMARK, CHECKS


def _grid(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]]) + "\n"


def _scores(metrics: pl.DataFrame) -> str:
    """The headline numbers of every model, one table per benchmark; empty without any."""
    parts = []
    for benchmark in metrics["benchmark"].unique(maintain_order=True):
        of = metrics.filter(pl.col("benchmark") == benchmark)
        columns = headlines_of(of["metric"])
        if not columns:
            continue
        rows = [[benchmark, *(column.label for column in columns)]]
        for model in of["model"].unique(maintain_order=True):
            own = dict(of.filter(pl.col("model") == model).select("metric", "value").rows())
            found = [(column, column.best(own)) for column in columns]
            rows.append([model, *("" if x is None else column.told(x) for column, x in found)])
        parts.append(_grid(rows))
    return "\n".join(parts)


def render(metrics: pl.DataFrame) -> str:
    """Render METRICS for a terminal."""
    is_claim = pl.col("metric").str.starts_with(PREFIX)
    parts = [_scores(metrics.filter(~is_claim, pl.col("benchmark") != BENCHMARK))]
    claims = metrics.filter(is_claim)
    if not claims.is_empty():
        rows = [["claim", "benchmark", "metric", "difference", "holds"]]
        for row in claims.iter_rows(named=True):
            cells = [row["model"], row["benchmark"], row["metric"].removeprefix(PREFIX)]
            rows.append([*cells, f"{100 * row['value']:+.1f}", "yes" if row["value"] > 0 else "no"])
        parts.append(_grid(rows))
    is_check = (pl.col("benchmark") == BENCHMARK) & pl.col("metric").is_in(list(CHECKS))
    checks = metrics.filter(is_check)
    if not checks.is_empty():
        rows = [["stage", "check against the truth", "value", "of", "wanted"]]
        for row in checks.iter_rows(named=True):
            text, wanted = CHECKS[row["metric"]]
            cells = [row["model"], text, f"{row['value']:.4g}", str(row["num_samples"])]
            rows.append([*cells, "" if wanted is None else f"{wanted:g}"])
        parts.append(_grid(rows))
    return "\n".join(parts)
