"""Schedules from knobs: their ends, and runs shorter than a warm-up."""

import dataclasses

import pytest

from sauropod.train.config import Objective, Optim
from sauropod.train.recipe import schedules


def test_ends_of_the_paper_s_schedules() -> None:
    optim = Optim()
    recipe = schedules(optim, Objective())
    first, last = recipe.at(0), recipe.at(optim.steps)
    assert first == pytest.approx(
        {
            "lr": 0.0,
            "backbone_lr": 0.0,
            "last_layer_lr": 0.0,
            "weight_decay": 0.04,
            "teacher_momentum": 0.994,
            "teacher_temp": 0.04,
        }
    )
    assert last == pytest.approx(
        {
            "lr": 1e-6,
            "backbone_lr": 1e-6,
            "last_layer_lr": 1e-6,
            "weight_decay": 0.2,
            "teacher_momentum": 1.0,
            "teacher_temp": 0.07,
        }
    )
    assert recipe.lr(99_999) == recipe.lr(100_000) == 3.5e-4
    assert recipe.last_layer_lr(1249) == 0.0
    assert recipe.last_layer_lr(1250) == recipe.lr(1250) > 0
    assert recipe.teacher_temp(37_499) == recipe.teacher_temp(300_000) == pytest.approx(0.07)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_runs_shorter_than_their_warm_ups(steps: int) -> None:
    optim = dataclasses.replace(Optim(), steps=steps)
    recipe = schedules(optim, Objective())
    for step in range(steps + 1):
        values = recipe.at(step)
        assert 0 <= values["lr"] <= optim.lr
        assert 0.04 <= values["teacher_temp"] <= 0.07


def test_without_a_head_warm_up_the_backbone_learns_like_the_heads() -> None:
    recipe = schedules(Optim(steps=50, warmup_steps=7), Objective())
    assert all(recipe.backbone_lr(step) == recipe.lr(step) for step in range(52))


def test_the_backbone_warms_up_after_the_heads() -> None:
    optim = Optim(steps=10, warmup_steps=3, head_warmup_steps=4, lr=1.0, min_lr=0.0)
    recipe = schedules(optim, Objective())
    assert [recipe.backbone_lr(step) for step in range(7)] == [0, 0, 0, 0, 0, 0.5, 1.0]
    assert [recipe.lr(step) for step in range(3)] == [0, 0.5, 1.0]
    assert recipe.backbone_lr(9) < 1.0
    assert recipe.backbone_lr(10) == 0.0


@pytest.mark.parametrize("frozen", [8, 10, 99])
def test_head_warm_ups_as_long_as_the_run(frozen: int) -> None:
    optim = Optim(steps=10, warmup_steps=3, head_warmup_steps=frozen, lr=1.0)
    rates = [schedules(optim, Objective()).backbone_lr(step) for step in range(10)]
    assert rates[: min(frozen, 10)] == [0.0] * min(frozen, 10)
    assert max(rates) <= 1.0
