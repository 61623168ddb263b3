"""DINO loss against golden numbers, a hand-computed case and the plain double sum."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sauropod.train.dino_loss import dino_loss

Golden = Callable[[str], dict[str, Tensor]]


def test_matches_the_reference_with_gradients(golden: Golden) -> None:
    g = golden("losses")
    student = torch.stack([g[f"dino/loss/student{i}"] for i in range(3)]).requires_grad_()
    loss = dino_loss(student, g["dino/loss/teacher_probs"].sum(dim=0))
    torch.testing.assert_close(loss, g["dino/loss/value"], atol=1e-4, rtol=0)
    loss.backward()
    assert student.grad is not None
    for i in range(3):
        expected = g[f"dino/loss/grad_student{i}"]
        torch.testing.assert_close(student.grad[i], expected, atol=5e-4, rtol=0)


def test_by_hand() -> None:
    # softmax of (0, ln 3) at temperature 1 is (1/4, 3/4)
    student = torch.tensor([[[0.0, math.log(3)]]])
    loss = dino_loss(student, torch.tensor([[1.0, 0.0]]), temperature=1.0)
    torch.testing.assert_close(loss, torch.tensor(math.log(4)))


def test_summed_targets_are_the_double_sum_of_cross_entropies() -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, 7, generator=generator)
    teachers = torch.softmax(torch.randn(2, 5, 7, generator=generator), dim=-1)
    expected = sum(F.cross_entropy(s / 0.2, t) for s in student for t in teachers)
    found = dino_loss(student, teachers.sum(dim=0), temperature=0.2)
    torch.testing.assert_close(found, expected)


def test_half_precision_scores_give_an_fp32_loss_under_autocast() -> None:
    student = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0)).bfloat16()
    targets = torch.softmax(student[0].float(), dim=-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = dino_loss(student, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, dino_loss(student.float(), targets))
