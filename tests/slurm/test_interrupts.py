"""Snakemake stopped in three ways while jobs run: the next one finishes, and nothing is lost."""

import shutil
import signal
from pathlib import Path

import pytest
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import Workflow

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]
PARTS = ["--", "results/links/crawl.summary.parquet", "results/ingest/places-00000.parquet"]


def made(folder: Path) -> dict[str, int]:
    """When each file under results/ was written."""
    files = [path for path in folder.glob("results/**/*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in files}


def kept(before: dict[str, int], folder: Path) -> bool:
    """Nothing that was there was made again."""
    return before.items() <= made(folder).items()


@pytest.mark.drill
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_rerun_finishes_what_an_interrupted_run_began(
    cluster: Cluster, workflow: Workflow, world: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    running = workflow.start(*PARTS)
    until(lambda: any("RUNNING" in job for job in cluster.jobs()), "a job to run")
    if stop == signal.SIGKILL:  # its job does not end by itself before the next run looks
        cluster.run("scontrol", "suspend", cluster.jobs()[0].split()[0])
    running.send_signal(stop)
    assert running.wait(120) != 0
    left, before = cluster.jobs(), made(tmp_path)
    if stop == signal.SIGKILL:
        assert left, "Slurm does not know that Snakemake is gone"
        assert workflow.run("--unlock") == 0
    else:
        assert left == []
    assert workflow.run(*PARTS) == 0, workflow.told()
    assert kept(before, tmp_path)
    assert all((tmp_path / path).exists() for path in PARTS[1:])
    if stop == signal.SIGKILL:
        assert "jobs of a killed run cancelled" in workflow.told()
