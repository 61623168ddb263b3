"""DINO loss against golden numbers, a hand-computed case and the plain double sum."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sauropod.models.head import Scores
from sauropod.train.assignments import Assignments
from sauropod.train.dino_loss import dino_loss

Golden = Callable[[str], dict[str, Tensor]]


def scores_of(logits: Tensor) -> Scores:
    return Scores(logits, torch.eye(logits.shape[1]))


def assigned(probabilities: Tensor) -> Assignments:
    """Assignments of these probabilities."""
    num_prototypes = probabilities.shape[1]
    return Assignments(scores_of(probabilities.log()), torch.zeros(num_prototypes), 1.0)


def test_local_crops_match_the_reference_with_gradients(golden: Golden) -> None:
    g = golden("losses")
    crops = torch.cat([g[f"dino/loss/student{i}"] for i in range(3)])
    views = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    student = torch.cat([views, crops]).requires_grad_()
    targets = assigned(g["dino/loss/teacher_probs"].flatten(0, 1))
    loss = dino_loss(scores_of(student), targets, num_images=4)["dino_local"]
    # The reference sums over the pairs: 3 local crops by 2 views, and 2 for the views.
    torch.testing.assert_close(8 * loss, g["dino/loss/value"], atol=0, rtol=1e-5)
    loss.backward()
    assert student.grad is not None
    for i, found in enumerate(8 * student.grad[8:].unflatten(0, (3, 4))):
        expected = g[f"dino/loss/grad_student{i}"]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_by_hand() -> None:
    # One image, no local crop, temperature 1: softmax of (0, ln 3) is (1/4, 3/4). The first view
    # learns from the second's target (0, 1): ln(4/3); the second from the first's (1, 0): ln 4.
    student = torch.tensor([[0.0, math.log(3)]]).repeat(2, 1)
    targets = assigned(torch.tensor([[1.0, 0.0], [0.0, 1.0]]).clamp_min(1e-30))
    losses = dino_loss(scores_of(student), targets, num_images=1, temperature=1.0)
    assert losses.keys() == {"dino_global"}
    expected = torch.tensor((math.log(4 / 3) + math.log(4)) / 2)
    torch.testing.assert_close(losses["dino_global"], expected)


@pytest.mark.parametrize("max_bytes", [0, 1, 4 * 7 * 6])
def test_is_the_mean_over_pairs_of_cross_entropies(max_bytes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    views, crops = (torch.randn(n, 5, 7, generator=generator) for n in (2, 3))
    teachers = torch.softmax(torch.randn(2, 5, 7, generator=generator), dim=-1)
    found = dino_loss(
        scores_of(torch.cat([views, crops]).flatten(0, 1)),
        assigned(teachers.flatten(0, 1)),
        num_images=5,
        temperature=0.2,
        max_bytes=max_bytes,
    )
    crossed = zip(views, teachers.flip(0), strict=True)
    expected = {
        "dino_local": sum(F.cross_entropy(s / 0.2, t) for s in crops for t in teachers) / 8,
        "dino_global": sum(F.cross_entropy(s / 0.2, t) for s, t in crossed) / 8,
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
