"""What the last run left undone, and why: one line per failed job.

python src/missing.py --directory runs/demo
"""

import sys
from pathlib import Path

from sauropod import cli, missing
from sauropod.errors import InputError


def main(directory: Path = Path()) -> None:
    """List failed jobs of the newest run in a folder: outputs, times tried, and the reason.

    Args:
        directory: Folder that Snakemake worked in (its --directory).
    """
    log = missing.newest_log(directory)
    if log is None:
        raise InputError(
            directory,
            expected="a folder Snakemake ran in",
            found="no .snakemake/log",
            fix="name the run's --directory",
        )
    sys.stdout.write(missing.told(missing.missing(log, directory)))


if __name__ == "__main__":
    cli.run(main)
