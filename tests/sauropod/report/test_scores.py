import polars as pl
import pytest

from sauropod.report import scores
from sauropod.schema import METRICS


def _metrics(rows: list[tuple[str, str, str, float, int]]) -> pl.DataFrame:
    filled = [(*row, 1.0, "c") for row in rows]
    return pl.DataFrame(filled, schema=dict(METRICS.columns), orient="row")


METRICS_ROWS = _metrics(
    [
        ("main", "b", "knn10_top1", 0.6, 100),
        ("main", "b", "knn20_top1", 0.9, 100),
        ("main", "b", "linear_top1", 0.7, 100),
        ("small", "b", "knn10_top1", 0.5, 100),
        ("colour", "b", "knn10_top1", 0.8, 100),
        ("main", "depths", "linear1_rmse", 1.25, 100),
        ("small", "depths", "linear1_rmse", 1.0, 100),
        ("main > small", "b", "claim:knn10_top1", 0.1, 100),
        ("screen", "truth", "unsafe_left", 0.0, 7),
        ("pool", "truth", "class_share:cat", 0.75, 3),
        ("pool", "truth", "class_share:dog", 0.25, 1),
        ("manifest", "truth", "class_share:dog", 1.0, 2),
    ]
)


def test_table_marks_the_best_model_and_sets_floors_apart() -> None:
    table = scores.score_table(METRICS_ROWS)
    assert table is not None
    assert table.columns == (("b", "k-NN"), ("b", "linear"), ("depths", "RMSE lin. 1"))
    assert [name for name, _ in table.models] == ["main", "small"]
    (_, main), (_, small) = table.models
    assert [cell.text if cell else None for cell in main] == ["90.0", "70.0", "1.250"]
    assert main[0] is not None
    assert main[0].best
    assert small[0] is not None
    assert not small[0].best
    assert small[1] is None
    assert small[2] is not None
    assert small[2].best, "a smaller error is better"
    ((floor, cells),) = table.floors
    assert floor == "colour"
    assert cells[0] is not None
    assert not cells[0].best


def test_no_scores_no_table() -> None:
    assert scores.score_table(METRICS_ROWS.filter(pl.col("benchmark") == "truth")) is None


def test_claims_carry_values_and_error() -> None:
    (claim,) = scores.claims(METRICS_ROWS)
    assert (claim.better, claim.worse, claim.metric) == ("main", "small", "knn10_top1")
    assert (claim.better_value, claim.worse_value) == (0.6, 0.5)
    assert claim.points == pytest.approx(10.0)
    assert claim.error == pytest.approx(100 * (0.6 * 0.4 / 100 + 0.5 * 0.5 / 100) ** 0.5)


@pytest.mark.parametrize(
    ("points", "verdict"),
    [(5.0, "holds"), (3.9, "holds within noise"), (0.0, "does not hold"), (-9.0, "does not hold")],
)
def test_verdicts(points: float, verdict: str) -> None:
    assert scores.Claim("a", "b", "c", "m", 0.5, 0.5, points, 2.0).verdict == verdict


def test_truth_and_classes() -> None:
    assert scores.truth_rows(METRICS_ROWS) == [("screen", "unsafe_left", 0.0, 7)]
    assert scores.class_shares(METRICS_ROWS) == [("cat", 0.75, 0.0), ("dog", 0.25, 1.0)]


def test_labels() -> None:
    assert scores.label("knn10_top1") == "10-NN"
    assert scores.label("linear_top1") == "linear"
    assert scores.label("mIoU") == "mIoU"
