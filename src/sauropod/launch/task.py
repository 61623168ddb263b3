"""What every task of a training's job runs.

submitit pickles what it runs. That is `run` here, by name, and plain strings: the stage's command
line and where to say how it ended. Nothing comes back by pickle.
"""

import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import submitit

from sauropod.cli import AGAIN
from sauropod.launch import record

# Slurm sends this ahead of the time limit and of a preemption. NCCL may use SIGUSR1.
WARNING = signal.SIGUSR2


def run(command: list[str], outputs: list[str], folder: str) -> None:
    """Run a stage's command line in this process, as one rank of it, and say how it ended.

    After the warning the stage stops with a checkpoint (exit code 75) and rank 0 has the job
    requeued. After SIGTERM it stops just the same, but whoever sent that also decides about the
    job: scancel ends it, a preemption requeues it.

    Args:
        command: A stage script and its flags.
        outputs: Files it makes.
        folder: Of the submission.

    Raises:
        SystemExit: The stage failed or is to be run again.
    """
    place = submitit.JobEnvironment()
    warned = _listen()
    code = _stage(command)
    if code == AGAIN and place.global_rank:
        return  # a bad exit would have Slurm kill rank 0 before it has asked for more
    if code == 0 and place.global_rank == 0:
        record.keep(outputs, Path(folder))
    if code or place.global_rank == 0:
        requeued = code == AGAIN and bool(warned) and _requeued(place)
        if not requeued:
            record.tell(Path(folder), code=code, rank=place.global_rank)
    if code:
        raise SystemExit(code)


def _listen() -> Sequence[int]:
    """Handle signals wherever `fit` does not; returns a list that a warning makes non-empty."""
    warned: list[int] = []

    def warn(number: int, _frame: FrameType | None) -> None:
        warned.append(number)
        signal.raise_signal(signal.SIGUSR1)  # which `fit` knows: it ends its step and saves

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(AGAIN)  # before the first step or after the last: there is nothing to save

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGUSR1, leave)
    signal.signal(WARNING, warn)
    return warned


def _stage(command: Sequence[str]) -> int:
    """Run a script as `python` would; returns its exit code."""
    sys.argv = list(command)
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _requeued(place: submitit.JobEnvironment) -> bool:
    """Ask Slurm to run the job again from the start; false where there is none or it refuses."""
    if place.cluster != "slurm":
        return False
    return subprocess.run(["scontrol", "requeue", place.job_id], check=False).returncode == 0
