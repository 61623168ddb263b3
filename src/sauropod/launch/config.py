"""Where a training runs: nothing here changes its result. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from sauropod.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Where the processes of a training run, and what happens when they are lost."""

    launcher: Literal["none", "local", "slurm"] = "none"
    """One process here; several on this machine; or a job of a Slurm cluster."""
    nodes: int = 1
    """Nodes."""
    gpus_per_node: int = 0
    """GPUs of every node."""
    tasks_per_node: int = 0
    """Processes on every node; 0 is one per GPU, or one without."""
    cpus_per_task: int = 0
    """Cores of every process; 0 leaves it to the cluster. slurm only, like all below."""
    mem_gb: int = 0
    """Memory of every node, GB; 0 leaves it to the cluster."""
    minutes: int = 1440
    """Time limit of a job; a longer training goes on in the same job, requeued."""
    warn_s: int = 300
    """Seconds before the time limit at which a checkpoint is written and the job requeued; some
    hundred steps, for several processes agree to stop every `log_every` steps."""
    partition: str = ""
    """Partition; empty takes the cluster's default."""
    account: str = ""
    """Account; empty takes the user's default."""
    extra: tuple[str, ...] = ()
    """Further options of sbatch: `qos=high`, `constraint=h200`, `exclusive`."""
    resume_after: tuple[Literal["loss", "cancel"], ...] = ("loss",)
    """When the job is submitted again, to go on from its last checkpoint: after the loss of a node
    or a process, after scancel. Otherwise the stage ends with exit code 75: run it again."""
    submissions: int = 5
    """Jobs submitted at most before giving up; what Slurm requeues is not counted."""
    poll_s: float = 15.0
    """Seconds between questions about the job."""

    @property
    def tasks(self) -> int:
        """Processes on every node."""
        return self.tasks_per_node or max(1, self.gpus_per_node)


def check(launch: Launch) -> None:
    """Refuse more processes than the launcher can start.

    Raises:
        InputError: It can start fewer.
    """
    most = {"none": "one process", "local": "one node", "slurm": ""}[launch.launcher]
    if (most and launch.nodes > 1) or (launch.launcher == "none" and launch.tasks > 1):
        knob = "launcher"
        raise InputError(
            knob,
            expected=f"{most} with launcher {launch.launcher}",
            found=f"{launch.nodes} x {launch.tasks} processes",
            fix="take launcher slurm, or local for several processes on one machine",
        )
