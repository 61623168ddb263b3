"""METRICS as plain text: accuracies by model, then claims, then checks against the truth."""

import polars as pl

from sauropod.evaluate.claims import PREFIX
from sauropod.evaluate.truth import BENCHMARK, CHECKS


def _grid(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]]) + "\n"


def _scores(metrics: pl.DataFrame) -> str:
    """Best k-NN and linear top-1 of every model on every benchmark, in percent."""
    benchmarks = metrics["benchmark"].unique(maintain_order=True).to_list()
    kinds = {"k-NN": "^knn.*top1$", "linear": "^linear.*top1$"}
    rows = [["model", *(f"{name} {kind}" for name in benchmarks for kind in kinds)]]
    for model in metrics["model"].unique(maintain_order=True):
        row = [model]
        for name in benchmarks:
            of = metrics.filter(pl.col("model") == model, pl.col("benchmark") == name)
            for pattern in kinds.values():
                best = of.filter(pl.col("metric").str.contains(pattern))["value"].max()
                row.append("" if best is None else f"{100 * best:.1f}")  # type: ignore[operator]
        rows.append(row)
    return _grid(rows)


def render(metrics: pl.DataFrame) -> str:
    """Render METRICS for a terminal."""
    is_claim = pl.col("metric").str.starts_with(PREFIX)
    is_score = pl.col("metric").str.ends_with("top1") & ~is_claim
    parts = [_scores(metrics.filter(is_score))]
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
