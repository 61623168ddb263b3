"""What a cluster does to jobs, and how it ends: in a resume, or in one clear sentence."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.slurm.cluster import Cluster, until
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


@pytest.mark.drill
def test_memory_time_a_node_and_a_bad_shard(cluster: Cluster, tmp_path: Path) -> None:
    """Side by side: what lacks memory, time or its node gets it; what fails alone is listed."""
    run = drills(cluster, tmp_path, "memory-1", "time-1", "never-1", "node-1")
    running = run.start()
    until(lambda: ran_on(tmp_path) != [], "the job to run")
    (node,) = ran_on(tmp_path)
    cluster.kill_node(node)
    assert running.wait(400) == 1
    cluster.start_node(node)
    until(cluster.is_up, "the node to be back")
    assert (tmp_path / "memory-1").exists(), run.told()
    assert (tmp_path / "time-1").exists(), run.told()
    assert (tmp_path / "node-1").exists(), run.told()
    assert ran_on(tmp_path) not in ([], [node]), "Snakemake empties a log at every start"
    listed = missing(tmp_path)
    assert "never-1\n    never, failed 3 x: " in listed
    assert "logs/never-1.log: never: expected luck" in listed
    assert listed.endswith("1 jobs failed; run Snakemake again for them and for what needs them\n")


def ran_on(directory: Path) -> list[str]:
    """Nodes on which the job that loses its node began, in order."""
    log = directory / "logs/node-1.log"
    return log.read_text().split() if log.exists() else []


def test_a_wrong_partition_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    run = drills(cluster, tmp_path, "never-1")
    flags = ["--set-resources", "never:slurm_partition=fast", "--retries", "0"]
    assert run.run(*flags) == 1
    assert "Slurm refused the job: " in missing(tmp_path)
    assert "invalid partition specified: fast" in run.told()


def test_a_full_queue_is_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    for size in (500, 100, 20, 1):
        while _held(cluster, size):
            pass
    run = drills(cluster, tmp_path, "node-1")
    running = run.start()
    until(lambda: "rule needs_a_node" in run.told(), "the job to be ready")
    time.sleep(5)  # sbatch is refused, and tries again
    assert "has been submitted" not in run.told()
    cluster.cancel_all()
    assert running.wait(200) == 0, run.told()


def _held(cluster: Cluster, size: int) -> bool:
    """Submit that many jobs that never start; whether Slurm took them."""
    command = ["sbatch", "--hold", f"--array=1-{size}", "--output=/dev/null", "--wrap=true"]
    try:
        subprocess.run(command, env=cluster.environment, capture_output=True, timeout=3, check=True)
    except subprocess.TimeoutExpired:
        return False
    return True
