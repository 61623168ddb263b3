"""The project's DAG through `snakemake --profile slurm`."""

from pathlib import Path

import pytest
from tests.slurm.conftest import Workflow

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]


def test_profile_runs_jobs_on_nodes(workflow: Workflow, tmp_path: Path) -> None:
    assert workflow.run("--", "results/links/crawl.summary.parquet") == 0, workflow.told()
    assert len(list(tmp_path.glob("results/links/crawl-*.summary.parquet"))) == 3
    assert "has been submitted with SLURM jobid" in workflow.told()
