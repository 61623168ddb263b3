"""`doctor.py` on the cluster: what fits is said to fit, what does not is named."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.slurm.cluster import ROOT, Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


def doctor(cluster: Cluster, profile: Path, *flags: str) -> str:
    """Everything the doctor says of a profile."""
    command = [sys.executable, "src/doctor.py", "--profile", str(profile), *flags]
    done = subprocess.run(
        command, cwd=ROOT, env=cluster.environment, capture_output=True, text=True, check=False
    )
    return f"{done.stdout}exit {done.returncode}"


def test_nodes_are_asked_and_compared(cluster: Cluster, tmp_path: Path) -> None:
    profile = ROOT / "workflow" / "profiles" / "slurm" / "config.yaml"
    config = tmp_path / "mine.yaml"
    config.write_text(f"pool: [{{name: a, path: {tmp_path}}}, {{name: b, path: /gone}}]\n")
    told = doctor(cluster, profile, "--config", str(config))
    assert "ok   Slurm: slurm" in told
    assert "ok   accounting: none, not needed" in told
    assert "of partition cpu: python and 7 packages as here" in told
    assert "of partition gpu: torch sees 0 GPU" in told, "the GPUs of these nodes are fake"
    assert "BAD  /gone: nothing there" in told
    assert "does not see" not in told, "the nodes have what is here"


def test_a_wrong_partition_is_named(cluster: Cluster, tmp_path: Path) -> None:
    profile = tmp_path / "config.yaml"
    profile.write_text("default-resources: {slurm_partition: fast}\n")
    told = doctor(cluster, profile)
    assert "BAD  partition fast: not on this cluster, which has cpu, gpu, gpu_first" in told
    assert told.endswith("exit 2")
