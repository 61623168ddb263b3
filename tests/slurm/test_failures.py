"""What a cluster does to jobs, and how it ends: in a resume, or in one clear sentence."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.slurm.cluster import Cluster, slurm, until
from tests.slurm.conftest import ROOT, Workflow

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
DRILLS = ["-s", "tests/slurm/drills.smk"]


def drills(cluster: Cluster, directory: Path, *parts: str) -> Workflow:
    """Jobs that fail by themselves."""
    asked = ["--config", f"parts=[{','.join(parts)}]"]
    return Workflow(cluster, directory, *DRILLS, *asked)


def missing(directory: Path) -> str:
    """What the one command says is not there."""
    command = [sys.executable, "src/missing.py", "--directory", str(directory)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_memory_time_and_a_bad_shard(cluster: Cluster, tmp_path: Path) -> None:
    """Side by side: two that need more of something get it, one fails alone and is listed."""
    run = drills(cluster, tmp_path, "memory-1", "time-1", "never-1")
    assert run.run() == 1
    assert (tmp_path / "memory-1").exists(), run.told()
    assert (tmp_path / "time-1").exists(), run.told()
    listed = missing(tmp_path)
    assert "never-1\n    never, failed 3 x: " in listed
    assert "logs/never-1.log: never: expected luck" in listed
    assert "memory-1" not in listed


def test_a_node_dies_under_a_job(cluster: Cluster, tmp_path: Path) -> None:
    run = drills(cluster, tmp_path, "node-1").start()
    until(lambda: (tmp_path / "logs/node-1.log").exists(), "the job to run")
    node = (tmp_path / "logs/node-1.log").read_text().split()[0]
    cluster.kill_node(node)
    assert run.wait(200) == 0
    cluster.start_node(node)
    until(cluster.is_up, "the node to be back")
    ran_on = (tmp_path / "logs/node-1.log").read_text().split()
    assert ran_on[-1] != node


def test_a_wrong_partition_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    run = drills(cluster, tmp_path, "never-1")
    flags = ["--default-resources", "slurm_partition=fast", "--retries", "0"]
    assert run.run(*flags) == 1
    assert "invalid partition specified: fast" in missing(tmp_path) + run.told()


@pytest.fixture
def small_queue() -> Iterator[Cluster]:
    """A cluster that holds one job at a time."""
    with slurm(max_jobs=2) as running:
        yield running
