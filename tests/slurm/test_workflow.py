"""The project's DAG, crawl to report, through `snakemake --profile slurm`.

It is the demo's (config/demo.yaml) on a smaller world with shorter trainings (tiny.yaml).
"""

from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.slurm.conftest import Run
from tests.slurm.phases import MANIFEST

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
TRAININGS = ("train_sscd", "pretrain/embedder", "pretrain/main", "adapt/main", "distill/main")


def test_the_demo_end_to_end(whole: Run, here: tuple[Path, Future[int]]) -> None:
    run, process = whole
    assert process.wait() == 0, run.told()
    assert (run.directory / "results/report/report.html").exists()
    logs = [(run.directory / f"logs/{name}.log").read_text() for name in _logs()]
    assert all("submitted job" in log for log in logs), "every training is a job of its own"
    local, code = here
    assert code.result() == 0
    assert (run.directory / MANIFEST).read_bytes() == (local / MANIFEST).read_bytes()


def _logs() -> list[str]:
    return [f"{name}/{name}" if "/" not in name else name for name in TRAININGS]
