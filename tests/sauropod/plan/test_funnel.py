"""plan.funnel: every number of the paper's Table 15, and other people's datasets."""

from pathlib import Path

import pytest
from tests.sauropod.retrieve.test_recipe import ROWS

from sauropod.errors import InputError
from sauropod.plan.costs import counted, paper
from sauropod.plan.funnel import Funnel, funnel
from sauropod.plan.plan import read

CONFIG = Path(__file__).parents[3] / "config"
PAPER = CONFIG / "lvd142m.yaml"


def planned(*files: Path, pool: int = 1_300_000_000, **counts: int) -> Funnel:
    return funnel(read(files), pool=pool, counts=counts, paper=paper())


def test_every_number_of_table_15() -> None:
    found = planned(PAPER)
    said = [[str(b.row), str(b.images), str(b.retrieved), str(b.final)] for b in found.recipe]
    assert said == ROWS
    assert found.final == 142_109_386


def test_the_papers_funnel_and_its_proportions() -> None:
    found = planned(PAPER)
    assert (found.crawled, found.unique, found.clean) == (1_300_000_000, 1_100_000_000, 744_000_000)
    small = planned(PAPER, pool=1_300_000)
    assert (small.unique, small.clean) == (1_100_000, 744_000)
    assert small.recipe == found.recipe


def test_a_dataset_without_a_count_is_named() -> None:
    demo = CONFIG / "demo.yaml"
    with pytest.raises(InputError, match="say --counts objects=1200"):
        planned(demo)
    counts = {"objects": 10, "fine": 20, "places": 5}
    sets = ("classes", "varieties", "classes_large", "streets", "distances", "instances")
    counts |= dict.fromkeys(sets, 1)
    found = planned(demo, pool=2_000, **counts)
    assert [b.final for b in found.recipe] == [5, 10, 30, 300]
    assert found.final == 345
    assert found.references == len(sets)


@pytest.mark.parametrize("text", ["cats", "=3", "cats=", "cats=-1"])
def test_bad_counts_are_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="dataset=images"):
        counted([text])


def test_counts() -> None:
    assert counted(["a=1", "b=20"]) == {"a": 1, "b": 20}
