"""iBOT loss against golden numbers, a hand-computed case and the plain mean."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sauropod.models.head import Scores
from sauropod.train import ibot_loss as module
from sauropod.train.assignments import Assignments

Golden = Callable[[str], dict[str, Tensor]]


def ibot_loss(student: Tensor, targets: Tensor, **how: object) -> Tensor:
    """The loss of matrices: student scores and target probabilities."""
    eye = torch.eye(student.shape[1])
    assigned = Assignments(Scores(targets.log(), eye), torch.zeros(len(eye)), 1.0)
    return module.ibot_loss(Scores(student, eye), assigned, **how)


def test_masked_loss_matches_the_reference_with_gradient(golden: Golden) -> None:
    g = golden("losses")
    student = g["ibot/student"].requires_grad_()
    loss = ibot_loss(
        student[:18],  # the reference pads to a static size, we do not
        g["ibot/sinkhorn_t0.07"],
        weights=g["ibot/masks_weight"],
        num_crops=4,
    )
    torch.testing.assert_close(loss, g["ibot/loss"], atol=0, rtol=1e-5)
    loss.backward()
    torch.testing.assert_close(student.grad, g["ibot/grad_student"], atol=1e-6, rtol=1e-4)


def test_whole_crops_match_the_reference(golden: Golden) -> None:
    g = golden("losses")
    masks = g["ibot/masks"]
    rows, counts = masks.flatten(), masks.sum(dim=1).clamp_min(1)
    weights = (1 / counts)[:, None].expand_as(masks)[masks]
    student = g["ibot/full/student"].flatten(0, 1)[rows]
    targets = g["ibot/full/teacher_probs"].flatten(0, 1)[rows]
    loss = ibot_loss(student, targets, weights=weights, num_crops=4)
    torch.testing.assert_close(loss, g["ibot/full/loss"], atol=0, rtol=1e-5)


def test_by_hand() -> None:
    # Both patches of one of two crops: cross-entropies ln 4 and ln(4/3), mean, halved.
    student = torch.tensor([[0.0, math.log(3)]]).repeat(2, 1)
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).clamp_min(1e-30)
    weights = torch.tensor([0.5, 0.5])
    loss = ibot_loss(student, targets, weights=weights, num_crops=2, temperature=1.0)
    torch.testing.assert_close(loss, torch.tensor((math.log(4) + math.log(4 / 3)) / 4))


def test_equal_weights_are_the_mean_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(12, 5, generator=generator)
    targets = torch.softmax(torch.randn(12, 5, generator=generator), dim=-1)
    weights = torch.full((12,), 1 / 4)  # three crops of four patches
    loss = ibot_loss(student, targets, weights=weights, num_crops=3)
    torch.testing.assert_close(loss, F.cross_entropy(student / 0.1, targets))


def test_no_masked_patch_costs_nothing_and_has_a_gradient() -> None:
    student = torch.zeros(0, 5, requires_grad=True)
    loss = ibot_loss(student, torch.zeros(0, 5), weights=torch.zeros(0), num_crops=2)
    loss.backward()
    assert loss.item() == 0
