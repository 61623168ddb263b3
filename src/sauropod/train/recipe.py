"""What changes with the step: learning rates, weight decay, momentum, temperature."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sauropod.train.config import Objective, Optim
from sauropod.train.schedule import FrozenUntil, Schedule


@dataclass(frozen=True, kw_only=True)
class Schedules:
    """Every number that changes with the step, counted from 0."""

    lr: Callable[[int], float]
    """Of the heads, and of a model without them."""
    backbone_lr: Callable[[int], float]
    last_layer_lr: Callable[[int], float]
    weight_decay: Callable[[int], float]
    teacher_momentum: Callable[[int], float]
    teacher_temp: Callable[[int], float]

    def at(self, step: int) -> dict[str, float]:
        """All values at a step."""
        return {
            "lr": self.lr(step),
            "backbone_lr": self.backbone_lr(step),
            "last_layer_lr": self.last_layer_lr(step),
            "weight_decay": self.weight_decay(step),
            "teacher_momentum": self.teacher_momentum(step),
            "teacher_temp": self.teacher_temp(step),
        }


def schedules(optim: Optim, objective: Objective) -> Schedules:
    """Schedules of DINOv2: warm-up and cosine for the learning rate, cosine for weight decay and
    momentum, linear then constant for the teacher's temperature.

    The backbone's warm-up begins after `optim.head_warmup_steps` in which only the heads learn.
    """
    lr = Schedule(
        base=optim.lr,
        final=optim.min_lr,
        total_steps=optim.steps,
        warmup_steps=min(optim.warmup_steps, optim.steps),
    )
    frozen = min(optim.head_warmup_steps, optim.steps)
    backbone_lr = replace(
        lr, freeze_steps=frozen, warmup_steps=min(optim.warmup_steps, optim.steps - frozen)
    )
    warmup = min(objective.teacher_temp_warmup_steps, optim.steps)
    return Schedules(
        lr=lr,
        backbone_lr=backbone_lr,
        last_layer_lr=FrozenUntil(schedule=lr, freeze_steps=optim.freeze_last_layer_steps),
        weight_decay=Schedule(
            base=optim.weight_decay, final=optim.weight_decay_end, total_steps=optim.steps
        ),
        teacher_momentum=Schedule(
            base=objective.teacher_momentum,
            final=objective.teacher_momentum_end,
            total_steps=optim.steps,
        ),
        teacher_temp=Schedule(
            base=objective.teacher_temp,
            final=objective.teacher_temp,
            total_steps=warmup,
            warmup_steps=warmup,
            warmup_start=objective.teacher_temp_start,
        ),
    )
