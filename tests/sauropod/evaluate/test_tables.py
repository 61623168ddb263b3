"""METRICS as text: scores in percent, claims with their sign, checks with what is wanted."""

import polars as pl

from sauropod import schema
from sauropod.evaluate.tables import render


def metrics(*rows: tuple[str, str, str, float]) -> pl.DataFrame:
    """Make METRICS rows (model, benchmark, metric, value)."""
    full = [(*row, 10, 0.5, "c") for row in rows]
    return pl.DataFrame(full, schema=dict(schema.METRICS.columns), orient="row")


def test_a_table_per_benchmark_with_the_best_of_each_kind() -> None:
    text = render(
        metrics(
            ("vit", "pets", "knn10_top1", 0.5),
            ("vit", "pets", "knn20_top1", 0.625),
            ("vit", "pets", "unreadable_test", 3.0),
            ("vit", "rooms", "linear1_rmse", 0.4494),
            ("chance", "pets", "knn10_top1", 0.1),
            ("vit", "pets", "linear_mean_per_class", 0.75),
        )
    )
    pets, rooms = text.strip().split("\n\n")
    assert pets.splitlines()[0].split() == ["pets", "k-NN", "linear"]
    assert pets.splitlines()[2].split() == ["vit", "62.5", "75.0"]
    assert pets.splitlines()[3].split() == ["chance", "10.0"]
    assert rooms.splitlines()[0].split() == ["rooms", "RMSE", "lin.", "1"]
    assert rooms.splitlines()[2].split() == ["vit", "0.449"]


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
