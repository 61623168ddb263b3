"""Where jobs run: submitit's executors, told what a `Launch` says."""

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import submitit
from submitit.core.utils import FailedJobError

from sauropod.errors import InputError
from sauropod.launch import record, slurm, task
from sauropod.launch.config import Launch
from sauropod.launch.slurm import Status

NEVER = 60 * 24 * 3650
"""Minutes: the local executor wants a limit."""


class Place(Protocol):
    """Where jobs run."""

    def submit(self, command: Sequence[str], *, outputs: Sequence[str], folder: Path) -> str:
        """Submit `task.run`; returns the job. `folder`, of this submission, also names it."""
        ...

    def status(self, job: str, *, folder: Path) -> Status:
        """State of a job."""
        ...

    def find(self, folder: Path) -> str:
        """Job of a submission that nobody saw the end of; empty when there is none."""
        ...

    def stop(self, job: str) -> None:
        """Have what is left of a failed job end."""
        ...

    def leave(self, job: str) -> bool:
        """What SIGTERM to the watcher means; whether the watcher should wait for the end."""
        ...

    def how_to_end(self, job: str) -> str:
        """Command that ends a job, for the user."""
        ...


@dataclass(frozen=True)
class Local:
    """Several processes on this machine."""

    launch: Launch

    def submit(self, command: Sequence[str], *, outputs: Sequence[str], folder: Path) -> str:
        """Start the tasks and the process that controls them."""
        executor = submitit.LocalExecutor(folder, python=_python())
        executor.update_parameters(
            tasks_per_node=self.launch.tasks,
            gpus_per_node=self.launch.gpus_per_node,
            timeout_min=NEVER,
            stderr_to_stdout=True,
        )
        return _submit(executor, command, outputs=outputs, folder=folder)

    def status(self, job: str, *, folder: Path) -> Status:
        """Whether the controller lives; it names the folder in its command line."""
        try:
            alive = os.fsencode(folder) in Path(f"/proc/{job}/cmdline").read_bytes()
        except OSError:
            alive = False
        return Status("RUNNING" if alive else slurm.GONE)

    def find(self, folder: Path) -> str:
        """Look for the controller that names the folder."""
        numbers = (path.name for path in Path("/proc").iterdir() if path.name.isdigit())
        return next((n for n in numbers if self.status(n, folder=folder).state == "RUNNING"), "")

    def stop(self, job: str) -> None:
        """The controller ends its tasks."""
        os.kill(int(job), signal.SIGINT)

    def leave(self, job: str) -> bool:
        """The tasks are told to write a checkpoint and end."""
        os.kill(int(job), signal.SIGTERM)
        return True

    def how_to_end(self, job: str) -> str:
        """`kill`, which lets it write a checkpoint."""
        return f"kill {job}"


@dataclass(frozen=True)
class Slurm:
    """A job of a Slurm cluster."""

    launch: Launch

    def submit(self, command: Sequence[str], *, outputs: Sequence[str], folder: Path) -> str:
        """Submit with sbatch.

        Raises:
            InputError: This is no cluster, or it refuses the job.
        """
        try:
            executor = submitit.SlurmExecutor(folder, python=_python())
            executor.update_parameters(**self._options(folder))
            return _submit(executor, command, outputs=outputs, folder=folder)
        except (RuntimeError, FailedJobError) as error:
            where = "launch"
            raise InputError(
                where,
                expected="a cluster that takes the job",
                found=" ".join(str(error).split()),
                fix="correct partition, account, minutes and extra, or run it where sbatch works",
            ) from None

    def _options(self, folder: Path) -> dict[str, Any]:
        launch = self.launch
        # Newer sruns do not look at what sbatch was told about cores.
        cores = [f"--cpus-per-task={launch.cpus_per_task}"] if launch.cpus_per_task else []
        options = {
            "job_name": folder.name,
            "nodes": launch.nodes,
            "ntasks_per_node": launch.tasks,
            "gpus_per_node": launch.gpus_per_node or None,
            "cpus_per_task": launch.cpus_per_task or None,
            "mem": f"{launch.mem_gb}GB" if launch.mem_gb else None,
            "time": launch.minutes,
            "signal_delay_s": launch.warn_s,
            "partition": launch.partition or None,
            "account": launch.account or None,
            "srun_args": ["--kill-on-bad-exit=1", *cores],
            "stderr_to_stdout": True,
            "additional_parameters": {"requeue": True, **_pairs(launch.extra)},
        }
        return {name: value for name, value in options.items() if value is not None}

    def status(self, job: str, *, folder: Path) -> Status:
        """Ask squeue, or sacct; without cgroups a kill for memory is told in the log alone."""
        found = slurm.status(job)
        if found.state == "FAILED" and record.over_memory(folder):
            return replace(found, state="OUT_OF_MEMORY")
        return found

    def find(self, folder: Path) -> str:
        """Ask squeue for the name."""
        return slurm.find(folder.name)

    def stop(self, job: str) -> None:
        """srun ends the other tasks by itself."""

    def leave(self, job: str) -> bool:
        """The job goes on."""
        return False

    def how_to_end(self, job: str) -> str:
        """`scancel`."""
        return f"scancel {job}"


def of(launcher: str, launch: Launch) -> Place:
    """The place of a launcher, `local` or `slurm`."""
    return Local(launch) if launcher == "local" else Slurm(launch)


def _submit(
    executor: submitit.Executor, command: Sequence[str], *, outputs: Sequence[str], folder: Path
) -> str:
    return executor.submit(task.run, list(command), list(outputs), str(folder)).job_id


def _python() -> str:
    """This interpreter, which imports from where this process does."""
    where = os.pathsep.join(filter(None, sys.path))
    return shlex.join(["env", f"PYTHONPATH={where}", sys.executable])


def _pairs(extra: Sequence[str]) -> dict[str, str | bool]:
    """Options of sbatch by name, without dashes; one without a value is a switch."""
    pairs = (option.lstrip("-").partition("=") for option in extra)
    return {name: value if equals else True for name, equals, value in pairs}
