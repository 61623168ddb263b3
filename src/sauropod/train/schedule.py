"""Schedules: what the learning rate, weight decay, momentum and temperature are at a step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Zeros while frozen, a linear warm-up, half a cosine to the final value, then constant."""

    base: float
    """Value that the warm-up reaches."""
    final: float
    """Value at `total_steps` and ever after."""
    total_steps: int
    """Steps until the final value."""
    warmup_steps: int = 0
    """Steps of the warm-up; its last one already has the base value, as in the reference."""
    warmup_start: float = 0.0
    """Value at the first step of the warm-up."""
    freeze_steps: int = 0
    """Steps at zero before the warm-up."""

    def __call__(self, step: int) -> float:
        """Value at a step counted from 0."""
        if step >= self.total_steps:
            return self.final
        if step < self.freeze_steps:
            return 0.0
        step -= self.freeze_steps
        if step < self.warmup_steps:
            share = step / (self.warmup_steps - 1) if self.warmup_steps > 1 else 0.0
            return self.warmup_start + share * (self.base - self.warmup_start)
        span = self.total_steps - self.freeze_steps - self.warmup_steps
        share = (step - self.warmup_steps) / span
        return self.final + 0.5 * (self.base - self.final) * (1 + math.cos(math.pi * share))


@dataclass(frozen=True, kw_only=True)
class FrozenUntil:
    """Another schedule, but zero before a step: the last layer's learning rate."""

    schedule: Schedule
    """Value from `freeze_steps` on."""
    freeze_steps: int
    """Steps at zero."""

    def __call__(self, step: int) -> float:
        """Value at a step counted from 0."""
        return 0.0 if step < self.freeze_steps else self.schedule(step)


def scaled_lr(base_lr: float, *, batch_size: int) -> float:
    """Learning rate of a global batch, by the square root relative to 1024 images."""
    return base_lr * math.sqrt(batch_size / 1024)
