"""Scores against scikit-learn and by hand, with ties."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, precision_recall_curve, top_k_accuracy_score

from sauropod.evaluate.scores import accuracy, any_of, mean_ap, mean_per_class, measured_scores


def test_accuracy_by_hand() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.5, 0.2, 0.3]])
    labels = torch.tensor([1, 1])
    assert accuracy(scores, labels) == 0.5
    assert accuracy(scores, labels, top=2) == 0.5
    assert accuracy(scores, labels, top=9) == 1.0


def test_scores_that_are_not_finite_count_as_wrong() -> None:
    scores = torch.tensor([[float("nan"), 1.0], [0.0, 1.0]])
    assert accuracy(scores, torch.tensor([1, 1])) == 0.5


@pytest.mark.parametrize("decimals", [1, 6])  # many ties, none
@pytest.mark.parametrize("top", [1, 2, 5])
def test_accuracy_is_scikit_learns(decimals: int, top: int) -> None:
    """Its order among equals is the higher class first, so that it gets the classes reversed."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(90, 6, generator=generator).round(decimals=decimals)
    labels = torch.randint(0, 6, (90,), generator=generator)
    expected = top_k_accuracy_score(
        5 - labels.numpy(), scores.flip(1).numpy(), k=top, labels=np.arange(6)
    )
    assert accuracy(scores, labels, top=top) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("decimals", [1, 6])
def test_any_of_counts_images_whose_first_class_is_theirs(decimals: int) -> None:
    generator = torch.Generator().manual_seed(2)
    scores = torch.rand(70, 5, generator=generator).round(decimals=decimals)
    labels = (torch.rand(70, 5, generator=generator) < 0.4).to(torch.int8)
    pairs = zip(scores.tolist(), labels.tolist(), strict=True)
    hits = [told[given.index(max(given))] for given, told in pairs]
    assert any_of(scores, labels) == pytest.approx(np.mean(hits), abs=1e-7)


@pytest.mark.parametrize("decimals", [1, 6])
def test_mean_per_class_is_scikit_learns_balanced_accuracy(decimals: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(60, 7, generator=generator).round(decimals=decimals)
    labels = torch.randint(0, 5, (60,), generator=generator)  # two classes have no image
    known = scores[:, :5]
    expected = balanced_accuracy_score(labels.numpy(), known.numpy().argmax(1))
    assert mean_per_class(known, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [1, 6])  # many ties, none
def test_eleven_points_are_those_of_scikit_learns_curve(decimals: int) -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(80, 4, generator=generator).round(decimals=decimals)
    labels = (torch.rand(80, 4, generator=generator) < 0.3).to(torch.int8)
    expected = []
    for column in range(4):
        precision, recall, _ = precision_recall_curve(labels[:, column], scores[:, column])
        precision, recall = precision[:-1], recall[:-1]  # without the point of no image at all
        points = [precision[recall >= r - 1e-12].max(initial=0) for r in np.linspace(0, 1, 11)]
        expected.append(np.mean(points))
    assert mean_ap(scores, labels) == pytest.approx(np.mean(expected), abs=1e-12)


def test_mean_ap_by_hand() -> None:
    scores = torch.tensor([[0.9], [0.8], [0.7]])
    labels = torch.tensor([[1], [0], [1]], dtype=torch.int8)
    # Precision 1 to recall 0.5 (points 0 ... 0.5), then 2 / 3.
    assert mean_ap(scores, labels) == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_what_is_told_beside_the_metric() -> None:
    scores, labels = torch.eye(6), torch.arange(6)
    assert measured_scores(scores, labels, metric="top1") == {"top1": 1.0, "top5": 1.0}
    assert measured_scores(scores[:3, :3], labels[:3], metric="top1") == {"top1": 1.0}
    assert measured_scores(scores, labels, metric="mean_per_class") == {"mean_per_class": 1.0}
