import pytest
import torch

from sauropod.evaluate.accuracy import accuracy


def test_hand_computed() -> None:
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.4, 0.0]])
    labels = torch.tensor([1, 1, 2, 2])
    assert accuracy(scores, labels) == pytest.approx(0.5)
    assert accuracy(scores, labels, top=2) == pytest.approx(0.75)
    assert accuracy(scores, labels, top=5) == pytest.approx(1.0)


def test_scores_that_are_not_finite_are_wrong() -> None:
    scores = torch.tensor([[float("nan"), 0.0], [float("inf"), 0.0], [1.0, 0.0]])
    assert accuracy(scores, torch.zeros(3, dtype=torch.int64)) == pytest.approx(1 / 3)
