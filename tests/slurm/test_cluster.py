"""The cluster of these tests is a real one: its nodes bind GPUs, and jobs get several."""

import pytest
from tests.slurm.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


def test_jobs_get_gpus_and_several_nodes(cluster: Cluster) -> None:
    seen = "echo $CUDA_VISIBLE_DEVICES $SLURMD_NODENAME"
    assert cluster.run("srun", "-p", "gpu", "--gpus=2", "-N1", "sh", "-c", seen).startswith("0,1 ")
    two = cluster.run("srun", "-p", "gpu", "-N2", "--gpus-per-node=1", "sh", "-c", seen)
    assert sorted(two.split("\n")) == ["", "0 gpu1", "0 gpu2"]
