"""Run a training stage in one process, in several on this machine, or as a job of a Slurm cluster.

    python src/launch.py --launcher slurm --nodes 4 --gpus-per-node 8 --partition gpu \\
        -- src/pretrain.py --manifest manifest.parquet --out backbone.safetensors \\
        --checkpoints checkpoints/pretrain
"""

import os
import sys
from pathlib import Path

import tyro

from sauropod import cli
from sauropod.errors import InputError
from sauropod.launch.config import Launch, check


def main(
    command: tyro.conf.Positional[tuple[str, ...]],
    knobs: cli.Knobs[Launch],
    outputs: tuple[Path, ...] = (),
) -> None:
    """Run a stage's command line; the exit code is the stage's, 75 means: run the same again.

    Stopping this program does not stop a job of the cluster: run it again to watch the same job.

    Args:
        command: A training script and its flags, after two dashes.
        knobs: Where it runs.
        outputs: Files it makes, kept for whoever deletes those of a job that nobody saw end.
    """
    if not command:
        separator = "--"
        fix = "name a stage script and its flags"
        raise InputError(separator, expected="a command", found="nothing", fix=fix)
    check(knobs)
    if knobs.launcher == "none":
        os.execv(sys.executable, [sys.executable, *command])
    from sauropod.launch.watch import launch  # submitit is imported only where it is used

    if code := launch(command, outputs=[str(path) for path in outputs], knobs=knobs):
        raise SystemExit(code)


if __name__ == "__main__":
    cli.run(main)
