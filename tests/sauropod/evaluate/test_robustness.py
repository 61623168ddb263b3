"""A head on shifted images: which scores count, and errors relative to AlexNet's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import Dataset, Split
from sauropod.evaluate.features import Features
from sauropod.evaluate.linear import Head, Read
from sauropod.evaluate.robustness import alexnet_errors, measure, places_of

WNIDS = ("n1", "n2", "n3")


def _measure(classes: tuple[str, ...], labels: np.ndarray, **facts: object) -> dict[str, float]:
    """A head that passes three features through as scores."""
    scores = torch.tensor([[3.0, 2.0, 1.0], [0.0, 2.0, 9.0], [5.0, 0.0, 1.0]])
    head = Head(0.1, Read(1, avgpool=False), torch.eye(3), torch.zeros(3))
    features = Features(scores[:, None], torch.zeros(3, 3), torch.arange(3), {"truncated": 1})
    groups = facts.pop("groups", {})
    images = (Path("x"),) * 3
    dataset = Dataset(classes, {"test": Split(images, labels, groups)}, **facts)  # type: ignore[arg-type]
    rows = measure(features, dataset=dataset, head=head, known=WNIDS, where=Path("set"))
    return {row.metric: row.value for row in rows}


def test_only_the_sets_own_classes_can_be_the_answer() -> None:
    found = _measure(("n2", "n3"), np.array([0, 1, 1]))
    assert found["linear_top1"] == 1.0  # n1 scores highest twice, but is none of theirs
    assert found["unreadable_test"] == 1.0


def test_names_may_be_numbers_of_the_heads_classes() -> None:
    assert places_of(("0", "2"), WNIDS, where=Path("x")) == [0, 2]
    with pytest.raises(InputError, match="found '3'"):
        places_of(("3",), WNIDS, where=Path("x"))
    with pytest.raises(InputError, match="found 'n9'"):
        places_of(("n9",), WNIDS, where=Path("x"))


def test_any_label_of_an_image_is_right() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=np.int8)
    assert _measure(WNIDS, labels, metric="any_of")["linear_any_of"] == pytest.approx(2 / 3)


def test_errors_of_corruptions_are_relative_to_alexnets() -> None:
    kinds = np.array(["fog", "fog", "snow"])
    groups = {"corruption": kinds, "severity": np.array(["1", "2", "1"])}
    found = _measure(WNIDS, np.array([0, 0, 1]), groups=groups)
    published = alexnet_errors()
    expected = np.mean([0.5 / published["fog"], 1.0 / published["snow"]])
    assert found["linear_mce"] == pytest.approx(expected)
    assert found["linear_top1@corruption=fog"] == 0.5
    assert found["linear_top1@severity=2"] == 0.0


def test_alexnets_errors_are_those_of_the_fifteen_corruptions() -> None:
    assert len(alexnet_errors()) == 15
    assert np.mean(list(alexnet_errors().values())) == pytest.approx(0.789, abs=5e-4)


def test_a_head_of_another_backbone_is_refused() -> None:
    head = Head(0.1, Read(1, avgpool=True), torch.eye(3), torch.zeros(3))
    features = Features(torch.zeros(1, 1, 3), torch.zeros(1, 3), torch.arange(1), {})
    dataset = Dataset(WNIDS, {"test": Split((Path("x"),), np.zeros(1, np.int64))})
    with pytest.raises(InputError, match="a head of 6 features, found 3"):
        measure(features, dataset=dataset, head=head, known=WNIDS, where=Path("set"))
