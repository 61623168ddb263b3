import polars as pl

from sauropod.evaluate.transfer import SETS, averages
from sauropod.schema import METRICS


def _metrics(sets: tuple[str, ...]) -> pl.DataFrame:
    rows = [("vit", name, "logreg_top1", k / 10, 5, 1.0, "c") for k, name in enumerate(sets)]
    rows += [("vit", name, "logreg_top5", 1.0, 5, 1.0, "c") for name in sets]
    return pl.DataFrame(rows, schema=dict(METRICS.columns), orient="row")


def test_the_mean_needs_all_twelve_sets() -> None:
    found = averages(_metrics(SETS))
    assert found.schema == pl.Schema(METRICS.columns)
    assert round(found["value"][0], 12) == 0.55
    assert found.drop("value").row(0) == ("vit", "transfer", "logreg_mean", 60, 12.0, "c")
    assert averages(_metrics(SETS[:11])).is_empty()
