"""What a cluster does to jobs, and how it ends: in a resume, or in one clear sentence."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.slurm.cluster import ROOT, Cluster, until
from tests.slurm.conftest import DRILLS, Run, Workflow

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
FULL = "unable to accept job"
FILLER = "filler"


def test_a_full_queue_is_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    for size in (500, 100, 20, 1):
        while _held(cluster, size):
            pass
    run = Workflow(cluster, tmp_path, *DRILLS, "--config", "parts=[easy-1]")
    running = run.start()
    until(lambda: "rule easy" in run.told(), "the job to be ready")
    time.sleep(5)  # sbatch is refused, and tries again
    assert "has been submitted" not in run.told()
    cluster.run("scancel", f"--name={FILLER}")
    assert running.wait() == 0, run.told()


def _held(cluster: Cluster, size: int) -> bool:
    """Submit that many jobs that never start; whether Slurm took them."""
    asked = ["--hold", f"--job-name={FILLER}", f"--array=1-{size}", "--output=/dev/null"]
    command = ["sbatch", *asked, "--wrap=true"]
    try:
        subprocess.run(command, env=cluster.environment, capture_output=True, timeout=3, check=True)
    except subprocess.TimeoutExpired as late:
        return FULL not in (late.stderr or b"").decode()
    return True


def test_memory_time_a_node_and_a_bad_shard(cluster: Cluster, failing: Run) -> None:
    """What lacks memory, time or its node gets it; what fails by itself is listed."""
    run, process = failing
    until(lambda: starts(run) == 1, "the job to run")
    cluster.kill_node("cpu2")
    until(lambda: "Finished jobid" in run.told(), "another job to end meanwhile")
    cluster.start_node("cpu2")
    assert process.wait() == 1, run.told()
    assert all((run.directory / f"{what}-1").exists() for what in ("memory", "time", "node"))
    met = [(run.directory / f"meets-{part}").exists() for part in (1, 2)]
    assert all(met), "what is watched from here, like trainings, runs side by side"
    assert starts(run) == 2
    command = [sys.executable, "src/missing.py", "--directory", str(run.directory)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "never-1\n    never, failed 3 x: " in told
    assert "logs/never-1.log: never: expected luck" in told
    assert "astray-1\n    astray, failed 3 x: Slurm refused the job: " in told
    assert told.endswith("2 jobs failed; run Snakemake again for them and for what needs them\n")
    assert "invalid partition specified: fast" in run.told()


def starts(run: Workflow) -> int:
    """Times that the job that loses its node began."""
    path = run.directory / "starts"
    return len(path.read_text().splitlines()) if path.exists() else 0
