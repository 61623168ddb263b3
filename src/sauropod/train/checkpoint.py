"""Checkpoints: one file per step, whole or absent, readable by any number of ranks.

`step-000001000.pt` holds model and optimizer by parameter name (full tensors, on the CPU), the
step, and the fingerprint of the run; it loads with `torch.load(weights_only=True)`. Randomness is
counter based, so there is no generator state to keep.
"""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from sauropod import io
from sauropod.errors import InputError
from sauropod.train import sharding

_NAME = re.compile(r"step-(\d{9})\.pt")


def steps(folder: Path) -> list[int]:
    """Steps of the complete checkpoints in a folder, ascending; none when there is no folder."""
    if not folder.is_dir():
        return []
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in names if name)


def path_of(folder: Path, step: int) -> Path:
    """File of the checkpoint taken after `step` steps."""
    return folder / f"step-{step:09d}.pt"


@dataclass(frozen=True, kw_only=True)
class State:
    """What a checkpoint holds of a run, loaded and saved in place by every rank together."""

    model: nn.Module
    """Whatever is trained, with its teacher."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    def save(
        self, folder: Path, *, step: int, counts: dict[str, float], fingerprint: str, keep: int = 2
    ) -> None:
        """Write the state after `step` steps, then delete all but the newest `keep` files.

        Args:
            folder: Checkpoints of this run only; made when missing.
            step: Steps done.
            counts: Numbers of the loop.
            fingerprint: What a resuming run must share: knobs and inputs.
            keep: Newest checkpoints to keep.
        """
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = {
            "step": step,
            "fingerprint": fingerprint,
            "counts": counts,
            "model": get_model_state_dict(self.model, options=options),
            "optimizer": get_optimizer_state_dict(self.model, self.optimizer, options=options),
            "scaler": self.scaler.state_dict(),
        }
        if sharding.rank() == 0:
            with io.replacing(path_of(folder, step)) as temporary:
                torch.save(state, temporary)
            for old in steps(folder)[:-keep]:
                path_of(folder, old).unlink()
        if dist.is_initialized():
            dist.barrier()

    def resume(self, folder: Path | None, *, fingerprint: str) -> tuple[int, dict[str, float]]:
        """Load the newest checkpoint, if any; returns the steps done and the loop's numbers.

        Raises:
            InputError: The folder holds checkpoints of another run.
        """
        done = steps(folder) if folder is not None else []
        if folder is None or not done:
            return 0, {"replaced": 0.0, "skipped": 0.0, "in_a_row": 0.0}
        path = path_of(folder, done[-1])
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["fingerprint"] != fingerprint:
            raise InputError(
                path,
                expected=f"a checkpoint of the run {fingerprint}",
                found=f"one of {state['fingerprint']}: other knobs or inputs",
                fix="name another checkpoint folder, or delete this one to start over",
            )
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        set_model_state_dict(self.model, state["model"], options=options)
        set_optimizer_state_dict(self.model, self.optimizer, state["optimizer"], options=options)
        self.scaler.load_state_dict(state["scaler"])
        return state["step"], state["counts"]


class Stop:
    """Whether a signal asked this process to stop."""

    asked = False


@contextmanager
def stopping_on_signals() -> Iterator[Stop]:
    """Turn SIGTERM and SIGUSR1 into `Stop.asked` for the time of the block."""
    stop = Stop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
