"""Measured numbers, and the METRICS rows they become.

What every kind of benchmark hands to its script: `measure(...) -> list[Measured]`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from sauropod.schema import METRICS


@dataclass(frozen=True)
class Measured:
    """One number, before it is told which model and benchmark it belongs to."""

    metric: str
    value: float
    num_samples: int
    seconds: float


def metrics_frame(
    rows: Iterable[Measured], *, model: str, benchmark: str, commit: str
) -> pl.DataFrame:
    """Make METRICS rows of measured numbers."""
    return pl.DataFrame(
        [
            (model, benchmark, row.metric, row.value, row.num_samples, row.seconds, commit)
            for row in rows
        ],
        schema=dict(METRICS.columns),
        orient="row",
    )
