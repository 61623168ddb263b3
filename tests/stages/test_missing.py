"""`missing.py` as a process; tests/sauropod/test_missing.py has the cases."""

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"


def test_a_folder_without_a_run_is_the_users_mistake(tmp_path: Path) -> None:
    command = [sys.executable, str(SRC / "missing.py"), "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a folder Snakemake ran in" in done.stderr.splitlines()[-1]
