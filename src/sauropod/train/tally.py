"""Counts of a run: steps skipped, images replaced; what depends on the loss stays on the device."""

import torch
from torch import Tensor

from sauropod.errors import InputError
from sauropod.train import sharding


class Tally:
    """Counts of all ranks, kept without waiting for the device."""

    def __init__(self, counts: dict[str, float], *, device: torch.device) -> None:
        """Continue from the `counts` of a checkpoint; an empty one starts at zero."""
        self.bad = torch.zeros((), dtype=torch.bool, device=device)
        """Scalar bool: whether the last step was skipped."""
        self.skipped = self.bad.float() + counts.get("skipped", 0.0)
        self.in_a_row = self.bad.float() + counts.get("in_a_row", 0.0)
        self._replaced = counts.get("replaced", 0.0)
        self._new = 0.0

    def add(self, bad: Tensor, *, replaced: int) -> None:
        """Take in a step: whether it is skipped (the same on all ranks), and this rank's images."""
        self.bad = bad
        self.skipped += bad
        self.in_a_row = (self.in_a_row + bad) * bad
        self._new += replaced

    def agree(self, *, asked: bool) -> bool:
        """Add up what ranks count apart; returns whether any of them was asked to stop."""
        new, any_asked = sharding.total([self._new, float(asked)], device=self.bad.device)
        self._replaced += new
        self._new = 0.0
        return bool(any_asked)

    def totals(self) -> dict[str, float]:
        """`replaced` and `skipped`; waits for the device."""
        return {"replaced": self._replaced + self._new, "skipped": self.skipped.item()}

    def counts(self) -> dict[str, float]:
        """What a checkpoint keeps; waits for the device."""
        return self.totals() | {"in_a_row": self.in_a_row.item()}

    def check(self, budget: int, *, step: int, lr: float) -> None:
        """Stop a run that skips more than `budget` steps in a row; waits for the device.

        Raises:
            InputError: It does.
        """
        in_a_row = int(self.in_a_row.item())
        if in_a_row > budget:
            knob = "optim.lr"
            raise InputError(
                knob,
                expected=f"a finite loss at step {step}",
                found=f"{in_a_row} steps in a row without one, at learning rate {lr:.2g}",
                fix="lower it, lengthen optim.warmup_steps, or use precision bf16 or fp32; "
                "the last checkpoint is good",
            )
