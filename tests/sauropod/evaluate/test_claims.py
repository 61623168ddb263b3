import polars as pl
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.claims import compare, parse
from sauropod.schema import METRICS


def _metrics(rows: list[tuple[str, str, str, float]]) -> pl.DataFrame:
    filled = [(*row, 100, 1.0, "c") for row in rows]
    return pl.DataFrame(filled, schema=dict(METRICS.columns), orient="row")


SCORES = _metrics(
    [
        ("main", "low", "knn10_top1", 0.75),
        ("main", "high", "knn10_top1", 0.5),
        ("main", "low", "linear_best_num_blocks", 4.0),
        ("adapted", "high", "knn10_top1", 0.625),
        ("random", "low", "knn10_top1", 0.8),
        ("random", "low", "linear_best_num_blocks", 1.0),
    ]
)


def test_claims_are_compared_where_both_models_were_measured() -> None:
    found = compare(SCORES, claims=["adapted>main", "main > random"], commit="x")
    assert found.select("model", "benchmark", "metric", "num_samples").rows() == [
        ("adapted > main", "high", "claim:knn10_top1", 100),
        ("main > random", "low", "claim:knn10_top1", 100),
    ]
    assert found["value"].to_list() == pytest.approx([0.125, -0.05])
    assert found.schema == pl.Schema(METRICS.columns)


def test_a_benchmark_can_be_named() -> None:
    assert parse("a > b@high") == ("a", "b", "high")
    both = pl.concat([SCORES, _metrics([("adapted", "low", "knn10_top1", 0.1)])])
    assert compare(both, claims=["adapted>main"], commit="x").height == 2
    named = compare(both, claims=["adapted>main@high"], commit="x")
    assert named["benchmark"].to_list() == ["high"]


def test_no_claims_is_an_empty_table() -> None:
    assert compare(SCORES, claims=[], commit="x").schema == pl.Schema(METRICS.columns)


@pytest.mark.parametrize("claim", ["main", ">main", "main>"])
def test_malformed_claims(claim: str) -> None:
    with pytest.raises(InputError, match="better>worse"):
        parse(claim)


@pytest.mark.parametrize("claim", ["adapted>random", "main>rnadom", "main>random@high"])
def test_claims_without_common_benchmark_name_the_models(claim: str) -> None:
    with pytest.raises(InputError, match="adapted, main, random"):
        compare(SCORES, claims=[claim], commit="x")
