"""The chunked loss against autograd on the plain formula: values and gradients, all shapes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sauropod.models.head import Scores
from sauropod.train.assignments import Assignments
from sauropod.train.prototype_loss import prototype_loss


def plain(student: Scores, targets: Assignments, *, weights: Tensor, temperature: float) -> Tensor:
    """Every pair of rows of a slot, one cross-entropy at a time."""
    rows = (student.features @ student.prototypes.t() / temperature).unflatten(
        0, (-1, len(weights))
    )
    wanted = targets.probabilities().unflatten(0, (-1, len(weights)))
    pairs = [
        weights[slot] * F.cross_entropy(s[slot], t[slot])
        for s in rows
        for t in wanted
        for slot in range(len(weights))
    ]
    return torch.stack(pairs).sum()


def example(
    *, slots: int, ours: int, theirs: int, prototypes: int, seed: int
) -> tuple[Scores, Assignments, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    student = Scores(
        F.normalize(draw(ours * slots, 4), dim=1).requires_grad_(),
        draw(prototypes, 4).requires_grad_(),
    )
    teacher = Scores(F.normalize(draw(theirs * slots, 4), dim=1), draw(prototypes, 4))
    weights = torch.rand(slots, generator=generator)
    return student, Assignments(teacher, draw(prototypes), 0.5), weights


@settings(max_examples=30, deadline=None)
@given(
    slots=st.integers(1, 6),
    ours=st.integers(1, 3),
    theirs=st.integers(1, 2),
    prototypes=st.integers(1, 9),
    seed=st.integers(0, 99),
    rows_at_once=st.integers(0, 7),
)
def test_equals_the_plain_formula_with_gradients(
    slots: int, ours: int, theirs: int, prototypes: int, seed: int, rows_at_once: int
) -> None:
    student, targets, weights = example(
        slots=slots, ours=ours, theirs=theirs, prototypes=prototypes, seed=seed
    )
    expected = plain(student, targets, weights=weights, temperature=0.3)
    found = prototype_loss(
        student,
        targets,
        weights=weights,
        temperature=0.3,
        max_bytes=4 * prototypes * rows_at_once,
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    wanted = torch.autograd.grad(2 * expected, student)
    for gradient, reference in zip(torch.autograd.grad(2 * found, student), wanted, strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-5, rtol=1e-4)


def test_second_copies_of_the_scores_are_never_whole() -> None:
    """No tensor of (rows, K) lives longer than its chunk: autograd keeps only the gradients."""
    student, targets, weights = example(slots=64, ours=1, theirs=1, prototypes=50, seed=0)
    kept: list[torch.Size] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        prototype_loss(student, targets, weights=weights, temperature=0.1, max_bytes=4 * 50 * 8)
    assert torch.Size([64, 50]) not in kept
    assert sorted(kept) == [torch.Size([]), torch.Size([50, 4]), torch.Size([64, 4])]


def test_no_slot_costs_nothing() -> None:
    student, targets, _ = example(slots=1, ours=1, theirs=1, prototypes=5, seed=0)
    none = targets._replace(scores=Scores(targets.scores.features[:0], targets.scores.prototypes))
    empty = Scores(student.features[:0], student.prototypes)
    loss = prototype_loss(empty, none, weights=torch.zeros(0), temperature=0.1)
    loss.backward()
    assert loss.item() == 0
    assert student.prototypes.grad is not None
    assert not student.prototypes.grad.any()


def test_tiny_weights_survive_half_precision() -> None:
    """In fp16 a weight of 1e-9 times a probability is zero; the gradient must not be."""
    student, targets, _ = example(slots=4, ours=1, theirs=1, prototypes=50, seed=0)
    weights = torch.full((4,), 1e-9)
    prototype_loss(student, targets, weights=weights, temperature=0.1).backward()
    half = Scores(*(x.detach().half().requires_grad_() for x in student))
    loss = prototype_loss(half, targets, weights=weights, temperature=0.1)
    (2.0**20 * loss).backward()  # what a gradient scaler does
    for found, exact in zip(half, student, strict=True):
        assert found.grad is not None
        assert exact.grad is not None
        difference = (found.grad.float() / 2.0**20 - exact.grad).norm()
        assert difference < 0.02 * exact.grad.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_leaves_the_loss_in_fp32(dtype: torch.dtype) -> None:
    student, targets, weights = example(slots=4, ours=2, theirs=2, prototypes=9, seed=0)
    expected = prototype_loss(student, targets, weights=weights, temperature=0.3)
    rounded = Scores(*(x.to(dtype) for x in student))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = prototype_loss(rounded, targets, weights=weights, temperature=0.3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
