"""What a Slurm cluster says of itself and of our jobs: its commands, and nothing else."""

import getpass
import re
import shutil
import subprocess
import time
from pathlib import Path

RUN_ID = re.compile(r"^SLURM run ID: (\S+)$", re.MULTILINE)
PATIENCE_S = 120.0  # Slurm kills what ignores SIGTERM after KillWait, by default 30 s


def is_here() -> bool:
    """Whether this machine can talk to a Slurm."""
    return shutil.which("squeue") is not None


def ask(*command: str) -> str:
    """Call a Slurm command.

    Args:
        command: Program and its flags.

    Returns:
        What it printed; empty when it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def cancel_leftovers(logs: Path) -> int:
    """Cancel data jobs that a Snakemake of this folder, killed or interrupted, left in the queue.

    Their outputs are not there, so they are submitted again, and two would write the same files.
    A run's id is the name of all its jobs, and its log tells it; jobs of other folders, and
    trainings, which are found again instead, have other names.

    Args:
        logs: Snakemake's own logs, `.snakemake/log`.

    Returns:
        Number of jobs cancelled, each gone from its node.
    """
    if not is_here():
        return 0
    queue = ["squeue", f"--user={getpass.getuser()}", "--noheader"]
    in_queue = set(ask(*queue, "--format=%j").split())
    if not in_queue:
        return 0
    ours = {name for log in logs.glob("*.log") for name in RUN_ID.findall(log.read_text())}
    if not ours & in_queue:
        return 0
    queue += [f"--name={','.join(sorted(ours & in_queue))}", "--format=%i"]
    jobs = ask(*queue).split()
    ask("scancel", *jobs)
    end = time.monotonic() + PATIENCE_S
    while ask(*queue).split() and time.monotonic() < end:
        time.sleep(1.0)
    return len(jobs)
