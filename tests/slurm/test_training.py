"""Trainings as jobs: nodes are one process, interruptions change nothing, jobs are found again."""

from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import Interrupted
from tests.slurm.training import Training, log_of

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


def test_two_nodes_of_two_tasks_are_one_process(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=3)
    where = ["--nodes", "2", "--tasks-per-node", "2"]
    assert training.code_of(training.start(*where)) == 0, training.told()
    assert "2 x 2 processes" in training.told()
    logs = [log_of(path) for path in (training.out, training.in_one_process(tmp_path))]
    found, expected = (log.select("^loss.*$").to_numpy() for log in logs)
    assert expected.shape == (3, 5)
    assert found == pytest.approx(expected, rel=1e-5)


def test_cancelled_ends_and_can_go_on(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=100_000)
    watcher = training.start()
    until(lambda: training.step() > 0, "a checkpoint")
    cluster.run("scancel", training.in_queue()[0].split()[0])
    assert training.code_of(watcher) == 75
    assert "ended: CANCELLED" in training.told()
    assert "run again to go on from the last checkpoint" in training.told()


def test_refused_job_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=3)
    assert training.start("--partition", "nowhere").wait() == 2
    last = training.told().splitlines()[-1]
    assert last.startswith("launch.py: error: launch: expected a cluster that takes the job")
    assert "invalid partition specified: nowhere" in last


def test_too_little_memory_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=100_000)
    assert training.code_of(training.start("--extra", "mem=150")) == 2
    last = training.told().splitlines()[-1]
    assert last.startswith("launch.py: error: mem_gb: expected memory for the training"), last
    assert len(training.submissions()) == 1


def test_training_that_ended_unseen_is_not_run_again(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=20)
    first = training.start()
    until(lambda: "RUNNING" in training.told(), "the training to run")
    first.kill()
    first.wait()
    until(lambda: not training.in_queue(), "the training to end")
    training.out.unlink()  # as Snakemake does with what a killed rule made
    assert training.start().wait() == 0, training.told()
    assert "found job" in training.told()
    assert training.out.exists()
    assert len(training.submissions()) == 1


def test_ten_interruptions_and_a_lost_node_change_no_bit(interrupted: Interrupted) -> None:
    training = interrupted.training
    assert interrupted.code.result() == 0, training.told()
    expected = interrupted.expected.result()
    assert log_of(training.out).equals(log_of(expected))
    ours, theirs = load_file(training.out), load_file(expected)
    assert all(ours[name].equal(value) for name, value in theirs.items())
