"""The mean over the twelve transfer sets, each by its own metric (SimCLR's; CUB for Birdsnap)."""

import polars as pl

from sauropod.schema import METRICS

SETS = (
    "food101",
    "cifar10",
    "cifar100",
    "sun397",
    "cars",
    "aircraft",
    "voc2007",
    "dtd",
    "pets",
    "caltech101",
    "flowers102",
    "cub200",
)
"""Names of the benchmarks in config/benchmarks.yaml."""
TRANSFER = "transfer"
METRIC = r"^logreg_(top1|mean_per_class|mean_ap)$"


def averages(metrics: pl.DataFrame) -> pl.DataFrame:
    """Mean of the logistic regression's scores of every model measured on all twelve sets.

    Args:
        metrics: METRICS.

    Returns:
        METRICS rows of the benchmark `transfer`, metric `logreg_mean`.
    """
    scores = metrics.filter(pl.col("benchmark").is_in(SETS) & pl.col("metric").str.contains(METRIC))
    whole = scores.group_by("model", maintain_order=True).agg(
        benchmark=pl.lit(TRANSFER),
        metric=pl.lit("logreg_mean"),
        value=pl.col("value").mean(),
        num_samples=pl.col("num_samples").sum(),
        seconds=pl.col("seconds").sum(),
        commit=pl.col("commit").last(),
        sets=pl.col("benchmark").n_unique(),
    )
    found = whole.filter(pl.col("sets") == len(SETS)).select(list(METRICS.columns))
    return found.cast(dict(METRICS.columns))  # type: ignore[arg-type]
