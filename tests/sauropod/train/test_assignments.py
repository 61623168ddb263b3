"""Assignments: rows sum to one, by hand and rolled."""

import math

import torch

from sauropod.models.head import Scores
from sauropod.train.assignments import Assignments


def test_by_hand() -> None:
    # (scores / 2 + bias) = (0, ln 3) and (ln 2, 0): softmax (1/4, 3/4) and (2/3, 1/3)
    logits = torch.tensor([[0.0, 2 * math.log(3)], [2 * math.log(2), 0.0]])
    scores = Scores(logits - torch.tensor([2.0, 0.0]), torch.eye(2))
    assigned = Assignments(scores, torch.tensor([1.0, 0.0]), temperature=2.0)
    expected = torch.tensor([[1 / 4, 3 / 4], [2 / 3, 1 / 3]])
    torch.testing.assert_close(assigned.probabilities(), expected)
    torch.testing.assert_close(assigned.rolled(1).probabilities(), expected.flip(0))


def test_huge_scores_stay_finite() -> None:
    scores = Scores(
        1000 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.eye(3)
    )
    found = Assignments(scores, torch.zeros(3), temperature=0.04).probabilities()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(4))
