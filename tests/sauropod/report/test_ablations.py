"""Studies: their tables by hand, their figures by what they show, their mistakes."""

import math

import numpy as np
import polars as pl
import pytest

from sauropod.errors import InputError
from sauropod.report.ablations import Study, columns_of, figure, parse, table
from sauropod.schema import METRICS

ROWS = [
    ("without", "pets", "knn10_top1", 0.5),
    ("without", "pets", "knn20_top1", 0.52),
    ("with", "pets", "knn10_top1", 0.6),
    ("without", "pets", "linear_top1", 0.7),
    ("with", "pets", "linear_top1", 0.65),
    ("without", "rooms", "dpt_rmse", 0.5),
    ("with", "rooms", "dpt_rmse", 0.45),
    ("with", "rooms", "unreadable_test", 3.0),
    ("colour", "pets", "knn10_top1", 0.4),
    ("chance", "pets", "knn10_top1", 0.1),
]
STUDY = Study("koleo", ("without", "with"))


def _metrics() -> pl.DataFrame:
    full = [(*row, 10, 0.5, "c") for row in ROWS]
    return pl.DataFrame(full, schema=dict(METRICS.columns), orient="row")


def test_a_table_tells_every_change() -> None:
    assert table(_metrics(), STUDY).splitlines() == [
        "| koleo | pets k-NN | pets linear | rooms RMSE DPT |",
        "| --- | --- | --- | --- |",
        "| chance | 10.0 |  |  |",
        "| colour | 40.0 |  |  |",
        "| without | 52.0 | 70.0 | 0.500 |",
        "| with | 60.0 (+8.0) | 65.0 (-5.0) | 0.450 (-0.050) |",
        "| standard error, at most | 15.8 | 15.1 |  |",
    ]


def test_errors_are_those_of_a_share_of_images_and_floors_stand_apart() -> None:
    columns = {(name, one.label): got for (name, one), got in columns_of(_metrics(), STUDY).items()}
    knn, depth = columns["pets", "k-NN"], columns["rooms", "RMSE DPT"]
    assert knn.values == pytest.approx((52, 60))
    assert knn.errors == pytest.approx([100 * math.sqrt(p * (1 - p) / 10) for p in (0.52, 0.6)])
    assert knn.floors == pytest.approx({"colour": 40, "chance": 10})
    assert all(map(math.isnan, depth.errors))
    assert depth.floors == {}


def test_a_value_that_is_missing_leaves_a_gap() -> None:
    without = _metrics().filter(
        ~((pl.col("model") == "without") & (pl.col("benchmark") == "rooms"))
    )
    assert table(without, STUDY).splitlines()[-2].endswith("| 0.450 |")
    assert figure(without, STUDY).width == figure(_metrics(), STUDY).width


def test_a_figure_has_a_chart_per_benchmark() -> None:
    one = figure(_metrics().filter(pl.col("benchmark") == "pets"), STUDY)
    both = figure(_metrics(), STUDY)
    assert both.width > 1.8 * one.width
    assert len(np.unique(np.asarray(both).reshape(-1, 3), axis=0)) > 10


def test_floors_are_drawn() -> None:
    """A floor far below stretches the chart and adds the dashes' grey."""
    ours = _metrics().filter(pl.col("benchmark") == "pets")
    bare = ours.filter(~pl.col("model").is_in(["colour", "chance"]))
    painted = np.asarray(figure(ours, STUDY)).astype(int)
    assert (painted != np.asarray(figure(bare, STUDY)).astype(int)).any()


def test_a_study_is_read_from_words() -> None:
    assert parse("koleo:without,with") == STUDY
    for text in ("koleo", "koleo:one", ":a,b"):
        with pytest.raises(InputError, match="two models or more"):
            parse(text)


def test_a_model_without_numbers_is_named() -> None:
    with pytest.raises(InputError, match="metrics of lost, found none"):
        table(_metrics(), Study("x", ("with", "lost")))
