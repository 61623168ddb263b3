"""Published numbers as METRICS rows, to be printed beside what was measured."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from sauropod.schema import METRICS

PREFIX = "paper: "


@cache
def _book() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("published.yaml").read_text())


def published(benchmarks: Iterable[str]) -> pl.DataFrame:
    """What the paper says of benchmarks, by their names in config/benchmarks.yaml.

    Returns:
        METRICS rows of models `paper: ViT-S/14` and so on, the source and its table in the place of
        a commit; none for a benchmark that the paper does not know.
    """
    book, asked = _book(), set(benchmarks)
    rows = []
    for table, sets in book["tables"].items():
        for benchmark, metrics in sets.items():
            for metric, values in metrics.items() if benchmark in asked else ():
                unit = 1.0 if metric.endswith("rmse") else 100.0
                source = f"{book['source']} {table}"
                rows += [
                    (PREFIX + model, benchmark, metric, value / unit, 0, 0.0, source)
                    for model, value in zip(book["models"], values, strict=True)
                    if value is not None
                ]
    return pl.DataFrame(rows, schema=dict(METRICS.columns), orient="row")
