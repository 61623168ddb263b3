"""Published numbers: which they are, and that every benchmark of the shipped list has some."""

from pathlib import Path

import yaml

from sauropod.evaluate.headline import HEADLINES, headlines_of
from sauropod.evaluate.published import published
from sauropod.evaluate.transfer import SETS

CONFIG = Path(__file__).parents[3] / "config" / "benchmarks.yaml"
BOOK = Path(__file__).parents[3] / "src" / "sauropod" / "evaluate" / "published.yaml"


def test_numbers_are_shares_and_metres_with_their_table() -> None:
    found = {row[:3]: row for row in published(["in1k", "nyu"]).rows()}
    assert found["paper: ViT-g/14", "in1k", "linear_top1"][3] == 0.865
    assert found["paper: ViT-S/14", "nyu", "linear1_rmse"][3] == 0.449
    assert found["paper: ViT-S/14", "nyu", "linear1_rmse"][6] == "arXiv:2304.07193v2 table 11"
    assert published(["mine"]).is_empty()


def test_every_shipped_benchmark_has_published_numbers_and_nothing_else_has() -> None:
    names = [one["name"] for one in yaml.safe_load(CONFIG.read_text())["benchmarks"]]
    assert set(published(names)["benchmark"]) == set(names)
    assert set(SETS) <= set(names)
    told = yaml.safe_load(BOOK.read_text())["tables"].values()
    assert {name for sets in told for name in sets} == {*names, "transfer"}


def test_the_papers_mean_over_the_transfer_sets_is_the_mean_of_its_sets() -> None:
    rows = published([*SETS, "transfer"])
    for size in "SBLg":
        one = dict(rows.filter(model=f"paper: ViT-{size}/14").select("benchmark", "value").rows())
        mean = one.pop("transfer")
        assert len(one) == 12
        assert abs(sum(one.values()) / 12 - mean) < 6e-4


def test_every_published_metric_is_a_headline_or_told_by_group() -> None:
    names = [one["name"] for one in yaml.safe_load(CONFIG.read_text())["benchmarks"]]
    metrics = set(published([*names, "transfer"])["metric"])
    plain = {metric for metric in metrics if "@" not in metric}
    assert all(headlines_of([metric]) for metric in plain)
    assert headlines_of(["linear_top5", "unreadable_test"]) == []
    assert len({one.label for one in HEADLINES}) == len(HEADLINES)
