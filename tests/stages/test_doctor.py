"""`doctor.py` as a process, where there is no Slurm; tests/slurm has the cluster."""

import json
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"


def doctor(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run the script without any Slurm command to be found."""
    command = [sys.executable, str(SRC / "doctor.py"), *flags]
    environment = {"PATH": "/nowhere", "PYTHONPATH": str(SRC)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_no_slurm_is_said_in_one_line() -> None:
    done = doctor("--profile", str(SRC.parent / "workflow/profiles/slurm/config.yaml"))
    assert done.returncode == 2
    assert done.stdout.startswith("BAD  Slurm: no sinfo, squeue, sbatch, scancel on this")


def test_a_node_describes_itself(tmp_path: Path) -> None:
    told = json.loads(
        doctor("--there", "True", "--paths", str(tmp_path), str(tmp_path / "none")).stdout
    )
    assert told["python"].endswith(sys.executable)
    assert told["unseen"] == str(tmp_path / "none")
