"""Claims: one model is better than another, told from METRICS and never tuned away."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from sauropod.errors import InputError
from sauropod.schema import METRICS

PREFIX = "claim:"


class Claim(NamedTuple):
    """One model beats another, on every benchmark both have or on one (`""`: every)."""

    better: str
    worse: str
    benchmark: str


def parse(claim: str) -> Claim:
    """Read `better>worse` or `better>worse@benchmark`.

    Raises:
        InputError: not of that form.
    """
    models, _, benchmark = claim.partition("@")
    better, sign, worse = (part.strip() for part in models.partition(">"))
    if not (better and sign and worse):
        flag = f"--claims {claim}"
        raise InputError(
            flag,
            expected="better>worse or better>worse@benchmark",
            found=repr(claim),
            fix="name two models of the metric tables",
        )
    return Claim(better, worse, benchmark.strip())


def compare(metrics: pl.DataFrame, *, claims: Sequence[str], commit: str) -> pl.DataFrame:
    """Compare models on every benchmark and top-1 accuracy that both have.

    Args:
        metrics: METRICS of all models.
        claims: `better>worse` or `better>worse@benchmark`.
        commit: Commit that says so.

    Returns:
        METRICS rows: model `better > worse`, metric `claim:<metric>`, value = difference of the
        accuracies (above 0: the claim holds there).

    Raises:
        InputError: a claim names models that share no benchmark.
    """
    scores = metrics.filter(pl.col("metric").str.ends_with("_top1"))
    frames = []
    for better, worse, benchmark in map(parse, claims):
        sides = [scores.filter(pl.col("model") == name) for name in (better, worse)]
        both = sides[0].join(sides[1], on=["benchmark", "metric"], suffix="_worse")
        if benchmark:
            both = both.filter(pl.col("benchmark") == benchmark)
        if both.is_empty():
            known = ", ".join(scores["model"].unique().sort().to_list()) or "none"
            flag = f"--claims {better}>{worse}"
            raise InputError(
                flag,
                expected="two models measured on a common benchmark",
                found=f"models {known}",
                fix="correct the names, or evaluate both models",
            )
        frames.append(
            both.sort("benchmark", "metric").select(
                model=pl.lit(f"{better} > {worse}"),
                benchmark="benchmark",
                metric=PREFIX + pl.col("metric"),
                value=pl.col("value") - pl.col("value_worse"),
                num_samples="num_samples",
                seconds=pl.lit(0.0),
                commit=pl.lit(commit),
            )
        )
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict(METRICS.columns))
