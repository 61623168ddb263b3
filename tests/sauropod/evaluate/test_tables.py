"""METRICS as text: scores in percent, claims with their sign, checks with what is wanted."""

import polars as pl

from sauropod import schema
from sauropod.evaluate.tables import render


def metrics(*rows: tuple[str, str, str, float]) -> pl.DataFrame:
    """Make METRICS rows (model, benchmark, metric, value)."""
    full = [(*row, 10, 0.5, "c") for row in rows]
    return pl.DataFrame(full, schema=dict(schema.METRICS.columns), orient="row")


def test_best_of_each_kind_and_gaps() -> None:
    text = render(
        metrics(
            ("vit", "pets", "knn10_top1", 0.5),
            ("vit", "pets", "knn20_top1", 0.625),
            ("vit", "cars", "linear_top1", 0.125),
            ("chance", "pets", "knn10_top1", 0.1),
        )
    )
    lines = text.splitlines()
    assert lines[0].split() == [
        "model",
        "pets",
        "k-NN",
        "pets",
        "linear",
        "cars",
        "k-NN",
        "cars",
        "linear",
    ]
    assert lines[2].split() == ["vit", "62.5", "12.5"]
    assert lines[3].split() == ["chance", "10.0"]


def test_claims_and_checks() -> None:
    text = render(
        metrics(
            ("vit", "pets", "knn10_top1", 0.5),
            ("vit > chance", "pets", "claim:knn10_top1", 0.4),
            ("vit > king", "pets", "claim:knn10_top1", -0.05),
            ("screen", "truth", "unsafe_left", 2.0),
            ("pool", "truth", "class_share:mug", 0.5),
        )
    )
    assert "+40.0       yes" in text
    assert "-5.0        no" in text
    assert "unsafe images left" in text
    assert "mug" not in text
