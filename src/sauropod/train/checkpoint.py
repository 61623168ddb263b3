"""Checkpoints: one folder per step, `step-000001000/`, whole or absent (see `snapshot`).

A checkpoint holds model and optimizer by parameter name, the loop's numbers, and the fingerprint of
the run. Any number of ranks reads what any other number wrote. Randomness is counter based, so
there is no generator state to keep.
"""

import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from sauropod import io
from sauropod.errors import InputError
from sauropod.train import sharding, snapshot

_NAME = re.compile(r"step-(\d{9})")
_MODEL, _OPTIMIZER = "model.", "optimizer."  # what names of tensors begin with


def steps(folder: Path) -> list[int]:
    """Steps of the complete checkpoints in a folder, ascending; none when there is no folder."""
    if not folder.is_dir():
        return []
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in names if name)


def path_of(folder: Path, step: int) -> Path:
    """Folder of the checkpoint taken after `step` steps."""
    return folder / f"step-{step:09d}"


@dataclass(frozen=True, kw_only=True)
class State:
    """What a checkpoint holds of a run, loaded and saved in place by every rank together."""

    model: nn.Module
    """What is trained, with its averages; whatever its `state_dict` has is kept."""
    optimizer: torch.optim.Optimizer
    """Over parameters of `model`; its hyper-parameters are functions of the step, not kept."""
    scaler: torch.amp.GradScaler

    def save(
        self,
        folder: Path,
        *,
        step: int,
        counts: Mapping[str, float],
        fingerprint: str,
        keep: int = 2,
        beside: Callable[[Path], None] | None = None,
    ) -> None:
        """Write the state after `step` steps, then delete all but the newest `keep` checkpoints.

        Args:
            folder: Checkpoints of this run only, on a disk that every rank sees; made when missing.
            step: Steps done.
            counts: Numbers of the loop.
            fingerprint: What a resuming run must share: knobs and inputs.
            keep: Newest checkpoints to keep.
            beside: Writes further files of the run into the folder it is given; rank 0 calls it.

        Raises:
            InputError: The disk is full or refuses; the checkpoints before are as they were.
        """
        if sharding.rank() == 0:
            snapshot.delete_leftovers(folder)
        facts = {
            "step": step,
            "counts": dict(counts),
            "fingerprint": fingerprint,
            "scaler": self.scaler.state_dict(),
            "commit": io.commit(),
        }
        snapshot.write(path_of(folder, step), self._tensors(), facts=facts, beside=beside)
        if sharding.rank() == 0:
            for old in steps(folder)[:-keep]:
                snapshot.delete(path_of(folder, old))

    def resume(self, folder: Path | None, *, fingerprint: str) -> tuple[int, dict[str, float]]:
        """Load the newest checkpoint, if any; returns the steps done and the loop's numbers.

        Raises:
            InputError: The newest checkpoint is of another run, or not as it was written; says how
                to go on from the one before.
        """
        from sauropod.train import tensor_files

        if folder is not None and sharding.rank() == 0:
            snapshot.delete_leftovers(folder)
        done = steps(folder) if folder is not None else []
        if folder is None or not done:
            return 0, {"replaced": 0.0, "skipped": 0.0, "in_a_row": 0.0}
        path = path_of(folder, done[-1])
        before = f"go on from step {done[-2]:,}" if len(done) > 1 else "start over"
        facts = snapshot.verified(path, otherwise=f"put it back, or delete {path} to {before}")
        if facts["fingerprint"] != fingerprint:
            raise InputError(
                path,
                expected=f"a checkpoint of the run {fingerprint}",
                found=f"one of {facts['fingerprint']}: other knobs or inputs",
                fix="name another checkpoint folder, or delete this one to start over",
            )
        saved = tensor_files.outlines(path)
        self._make_moments(saved)
        tensors = self._tensors()
        _check_same(path, saved, tensors)
        tensor_files.read_into(tensors, path)
        self.scaler.load_state_dict(facts["scaler"])
        return facts["step"], facts["counts"]

    def _tensors(self) -> dict[str, Tensor]:
        """What to keep by name, not copied: reading into these tensors loads the run."""
        kept = {_MODEL + name: value for name, value in self.model.state_dict().items()}
        names: dict[Tensor, str] = {p: name for name, p in self.model.named_parameters()}
        for parameter, moments in self.optimizer.state.items():
            for key, value in moments.items():
                kept[f"{_OPTIMIZER}{names[parameter]}.{key}"] = value
        return kept

    def _make_moments(self, saved: Iterable[str]) -> None:
        """Give exactly those parameters a place for moments that have some in the checkpoint.

        A parameter that never had a gradient has none, and must stay without.
        """
        parameters = dict(self.model.named_parameters())
        self.optimizer.state.clear()
        for name in saved:
            parameter, _, key = name.removeprefix(_OPTIMIZER).rpartition(".")
            if name.startswith(_OPTIMIZER) and parameter in parameters:
                p = parameters[parameter]
                moment = torch.zeros((), device=p.device) if key == "step" else torch.zeros_like(p)
                self.optimizer.state[p][key] = moment


def consolidated(path: Path) -> dict[str, Tensor]:
    """Full tensors of a checkpoint's model by parameter name, on the CPU, in one process.

    Args:
        path: Folder of one checkpoint (see `path_of`), written by any number of ranks.

    Raises:
        InputError: It is not as it was written.
    """
    from sauropod.train import tensor_files

    snapshot.verified(path, otherwise="take another checkpoint")
    saved = tensor_files.outlines(path)
    state = {k: torch.empty_like(v, device="cpu") for k, v in saved.items() if k.startswith(_MODEL)}
    tensor_files.read_into(state, path)
    return {name.removeprefix(_MODEL): value for name, value in state.items()}


def _check_same(path: Path, saved: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> None:
    """Refuse tensors of other names, shapes or types than the model's."""

    def outline(tensor: Tensor | None) -> str:
        return "none" if tensor is None else f"{tuple(tensor.shape)} {tensor.dtype}"

    for name in sorted(saved.keys() | model.keys()):
        wanted, found = outline(model.get(name)), outline(saved.get(name))
        if wanted != found:
            raise InputError(
                path,
                expected=f"{name}: {wanted}",
                found=found,
                fix="go on with the code that wrote it, or delete its folder to start over",
            )


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
