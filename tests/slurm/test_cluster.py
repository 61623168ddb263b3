"""The cluster of these tests is a real one: GPUs are bound, a lost node's job starts again."""

import pytest
from tests.slurm.cluster import Cluster, until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


def test_jobs_get_gpus_and_several_nodes(cluster: Cluster) -> None:
    seen = "echo $CUDA_VISIBLE_DEVICES $SLURMD_NODENAME"
    assert cluster.run("srun", "-p", "gpu", "--gpus=2", "-N1", "sh", "-c", seen).startswith("0,1 ")
    two = cluster.run("srun", "-p", "gpu", "-N2", "--gpus-per-node=1", "sh", "-c", seen)
    assert sorted(two.split("\n")) == ["", "0 gpu1", "0 gpu2"]


def test_a_killed_nodes_job_starts_again(cluster: Cluster) -> None:
    job = cluster.run(
        "sbatch", "--parsable", "-w", "cpu1", "-o/dev/null", "--wrap", "sleep 600"
    ).strip()
    until(lambda: cluster.jobs() == [f"{job} RUNNING"], "the job to run")
    cluster.kill_node("cpu1")
    until(lambda: cluster.jobs() == [f"{job} PENDING"], "the job to be queued again")
    cluster.start_node("cpu1")
    until(lambda: cluster.jobs() == [f"{job} RUNNING"], "the job to run again")
    cluster.cancel_all()
