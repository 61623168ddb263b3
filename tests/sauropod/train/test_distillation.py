"""Distillation: one teacher pass, several students, against the plain method."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from tests.sauropod.train.test_self_distillation import (
    HEADS,
    KNOBS,
    batch_of,
    plain_losses,
    student_of,
)
from torch import Tensor, nn

from sauropod.models.head import build_heads
from sauropod.models.vit import build_vit
from sauropod.train.config import Objective
from sauropod.train.distillation import Distillation
from sauropod.train.student import make_student

Golden = Callable[[str], dict[str, Tensor]]
TEMP = 0.05


def teacher_of() -> nn.ModuleDict:
    wide = dataclasses.replace(KNOBS, embed_dim=48, depth=3)
    return make_student(build_vit(wide, seed=9), build_heads(HEADS, embed_dim=48, seed=9))


def model_of(*names: str, centering: str = "sinkhorn_knopp") -> Distillation:
    students = {name: student_of(seed=i) for i, name in enumerate(names)}
    objective = Objective(centering=centering)  # type: ignore[arg-type]
    return Distillation(students, teacher=teacher_of(), objective=objective).train()


@pytest.mark.parametrize("centering", ["sinkhorn_knopp", "softmax"])
def test_every_student_agrees_with_the_plain_method(golden: Golden, centering: str) -> None:
    batch, model = batch_of(golden), model_of("small", "base", centering=centering)
    (targets,) = model.teach([batch], temperature=TEMP)
    assert len(targets.indices) == 8 * 25  # every patch of both global crops
    found = list(model.compute_losses(batch, targets=targets))
    for name, losses in zip(("small", "base"), found, strict=True):
        student = model.students[name]
        assert isinstance(student, nn.ModuleDict)
        expected = plain_losses(student, model.teacher, batch, centering=centering, masked=False)
        assert losses.keys() == {f"{name}/{loss}" for loss in expected}
        for loss, value in expected.items():
            torch.testing.assert_close(losses[f"{name}/{loss}"], value, atol=2e-5, rtol=2e-5)


def test_students_side_by_side_learn_what_each_learns_alone(golden: Golden) -> None:
    batch = batch_of(golden)
    together = model_of("small", "base")
    alone = model_of("small")
    for model in (together, alone):
        (targets,) = model.teach([batch], temperature=TEMP)
        for losses in model.compute_losses(batch, targets=targets):
            torch.stack(list(losses.values())).sum().backward()
    for part in ("backbone", "dino_head", "ibot_head"):
        pairs = zip(
            together.learners[f"small/{part}"].parameters(),
            alone.learners[f"small/{part}"].parameters(),
            strict=True,
        )
        for a, b in pairs:
            assert (a.grad is None) == (b.grad is None)
            assert a.grad is None or torch.equal(a.grad, b.grad)


def test_the_teacher_stays_and_the_averages_follow() -> None:
    model = model_of("small")
    before = [p.clone() for p in model.teacher.parameters()]
    with torch.no_grad():
        for parameter in model.students.parameters():
            parameter.add_(1.0)
    model.update_ema(momentum=0.75)
    pairs = zip(model.average("small").parameters(), model.students.parameters(), strict=True)
    for a, s in pairs:
        torch.testing.assert_close(s - a, torch.full_like(a, 0.75))
    for a, b in zip(before, model.teacher.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not any(p.requires_grad for p in model.teacher.parameters())


def test_the_teacher_is_in_no_checkpoint() -> None:
    model = model_of("small", "base")
    tops = {name.split(".")[0] for name in model.state_dict()}
    assert tops == {"students", "averages"}
    saved = {p.data_ptr() for p in model.parameters()}
    assert not saved & {p.data_ptr() for p in model.teacher.parameters()}
    named = {p.data_ptr() for network in model.networks for p in network.parameters()}
    assert named == saved | {p.data_ptr() for p in model.teacher.parameters()}


def test_prototype_counts_must_agree() -> None:
    fewer = dataclasses.replace(HEADS, num_prototypes=63)
    with pytest.raises(AssertionError, match="dino_head: student and teacher differ"):
        Distillation({"s": student_of(fewer)}, teacher=teacher_of(), objective=Objective())
