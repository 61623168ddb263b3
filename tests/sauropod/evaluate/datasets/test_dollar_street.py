from collections.abc import Callable
from pathlib import Path

import pytest

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dollar_street import read_dollar_street

Make = Callable[[str], Path]


def test_regions_and_thirds_of_incomes_are_groups(miniature: Make) -> None:
    found = read_dollar_street(miniature("dollar_street")).splits["train"]
    assert found.groups["region"].tolist() == ["africa", "europe", "africa", "europe"]
    assert found.groups["income"].tolist() == ["low", "low", "medium", "high"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("imageRelPath,topics\n", "found no region.id"),
        ("imageRelPath,topics,region.id,income\n", "expected rows"),
        ("imageRelPath,topics,region.id,income\na,apple,af,much\n", "expected numbers"),
        ("imageRelPath,topics,region.id,income\na,plum,af,1\n", "found 'plum'"),
    ],
)
def test_a_broken_table_is_one_sentence(miniature: Make, text: str, sentence: str) -> None:
    root = miniature("dollar_street")
    (root / "images_v2_imagenet_test.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_dollar_street(root)
