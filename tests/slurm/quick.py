"""Snakemake that asks for its jobs' states every second, not ten later every time.

python tests/slurm/quick.py --profile slurm …
"""

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 1.0


def _always(_executor: RemoteExecutor) -> float:
    return SECONDS


def _ignored(_executor: RemoteExecutor, _seconds: float) -> None:
    return None


if __name__ == "__main__":
    RemoteExecutor.next_seconds_between_status_checks = property(_always, _ignored)
    main()
