"""What Slurm says about a job: squeue, and sacct once squeue has forgotten it."""

import shutil
import subprocess
from dataclasses import dataclass

GONE, SILENT = "GONE", "SILENT"
_OVER = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
    GONE,
}
_SQUEUE = ("squeue", "--states=all", "--noheader")
_SACCT = ("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID,State,NodeList")


@dataclass(frozen=True)
class Status:
    """State of a job."""

    state: str
    """Slurm's word; GONE when nobody knows the job, SILENT when nobody answers."""
    nodes: str = ""
    reason: str = ""
    """Why it waits or ended, in Slurm's words."""

    @property
    def over(self) -> bool:
        """Whether the job has ended; what is unknown has not."""
        return self.state in _OVER

    def __str__(self) -> str:
        """State, reason and nodes where there are any."""
        reason = f" ({self.reason})" if self.reason not in ("", "None") else ""
        return f"{self.state}{reason}{f' on {self.nodes}' if self.nodes else ''}"


def read_squeue(text: str, *, job: str) -> Status | None:
    """Find a job in lines `id|state|nodes|reason`."""
    for line in text.splitlines():
        number, _, rest = line.partition("|")
        if number == job:
            state, nodes, reason = rest.split("|", 2)
            return Status(state, nodes, reason)
    return None


def read_sacct(text: str, *, job: str) -> Status | None:
    """Find a job in lines `id|state|nodes`; `CANCELLED by 0` is CANCELLED."""
    for line in text.splitlines():
        number, state, nodes = [*line.split("|"), "", ""][:3]
        if number == job and state:
            # Before a node is known sacct has words for it.
            return Status(state.split()[0], "" if " " in nodes else nodes)
    return None


def status(job: str) -> Status:
    """Ask Slurm about a job."""
    asked = _ask(*_SQUEUE, "--format=%i|%T|%N|%r", f"--jobs={job}")
    if asked.returncode == 0 and (found := read_squeue(asked.stdout, job=job)):
        return found
    if asked.returncode and "Invalid job id" not in asked.stderr:
        return Status(SILENT, reason=" ".join(asked.stderr.split()))
    if shutil.which("sacct"):
        history = _ask(*_SACCT, f"--jobs={job}")
        if found := read_sacct(history.stdout, job=job):
            return found
    return Status(GONE)


def find(name: str) -> str:
    """Number of the newest job of a name; empty when squeue knows none."""
    return max(_ask(*_SQUEUE, "--format=%i", f"--name={name}").stdout.split(), key=int, default="")


def _ask(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)
