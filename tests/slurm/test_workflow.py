"""The project's DAG, crawl to manifest, through `snakemake --profile slurm`.

It is the demo's (config/demo.yaml) on a smaller world with shorter trainings (tiny.yaml).
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.slurm.conftest import Workflow, run_here

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
MANIFEST = "results/manifest/lvd.parquet"


@pytest.mark.drill
def test_manifest_is_the_local_runs_byte_for_byte(workflow: Workflow, tmp_path: Path) -> None:
    local = tmp_path / "local"
    with ThreadPoolExecutor() as beside:
        here = beside.submit(run_here, local, "--cores", "1", "--", MANIFEST)
        assert workflow.run("--", MANIFEST) == 0, workflow.told()
    assert here.result() == 0
    assert (tmp_path / MANIFEST).read_bytes() == (local / MANIFEST).read_bytes()
