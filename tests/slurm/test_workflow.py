"""The project's DAG through `snakemake --profile slurm`."""

from pathlib import Path

import pytest
from tests.slurm.conftest import Workflow, run_here

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


MANIFEST = "results/manifest/lvd.parquet"


def test_manifest_is_the_local_runs_byte_for_byte(workflow: Workflow, tmp_path: Path) -> None:
    assert workflow.run("--", MANIFEST) == 0, workflow.told()
    local = tmp_path / "local"
    assert run_here(local, "--", MANIFEST) == 0
    assert (tmp_path / MANIFEST).read_bytes() == (local / MANIFEST).read_bytes()
