"""Schedules against golden numbers and by hand."""

from collections.abc import Callable

import pytest
from torch import Tensor

from sauropod.train.schedule import FrozenUntil, Schedule, scaled_lr

Golden = Callable[[str], dict[str, Tensor]]


def test_match_the_reference(golden: Golden) -> None:
    g = golden("schedules")
    schedules = {
        "lr": Schedule(base=2e-3, final=1e-6, total_steps=50, warmup_steps=10),
        "wd": Schedule(base=0.04, final=0.2, total_steps=50),
        "momentum": Schedule(base=0.994, final=1.0, total_steps=50),
        "teacher_temp": Schedule(
            base=0.07, final=0.07, total_steps=15, warmup_steps=15, warmup_start=0.04
        ),
    }
    for name, schedule in schedules.items():
        for step, expected in enumerate(g[name].tolist()):
            assert schedule(step) == pytest.approx(expected, rel=1e-12, abs=1e-15), (name, step)


def test_the_released_learning_rate_by_hand() -> None:
    lr = Schedule(base=4e-3, final=1e-6, total_steps=125_000, warmup_steps=12_500)
    assert lr(0) == 0
    assert lr(12_499) == lr(12_500) == 4e-3
    assert lr(124_999) == pytest.approx(1.00000078e-6, rel=1e-8)
    assert lr(125_000) == lr(10**9) == 1e-6


def test_freezing() -> None:
    schedule = Schedule(base=1.0, final=0.0, total_steps=9, warmup_steps=1, freeze_steps=3)
    assert [schedule(s) for s in range(5)] == [0, 0, 0, 0, 1.0]
    last_layer = FrozenUntil(schedule=Schedule(base=2.0, final=2.0, total_steps=5), freeze_steps=2)
    assert [last_layer(s) for s in range(4)] == [0, 0, 2, 2]


def test_square_root_scaling() -> None:
    assert scaled_lr(2e-4, batch_size=3072) == pytest.approx(3.4641e-4, rel=1e-4)
    assert scaled_lr(1.0, batch_size=1024) == 1.0
