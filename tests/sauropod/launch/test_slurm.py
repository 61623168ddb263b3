"""What squeue and sacct print, read as text."""

import pytest

from sauropod.launch.slurm import GONE, SILENT, Status, read_sacct, read_squeue

SQUEUE = """\
7|RUNNING|gpu[1-2]|None
17|PENDING||Priority
170|CANCELLED||(Dependency|odd)
"""
SACCT = """\
7|CANCELLED by 0|gpu1
17|PENDING|None assigned
171|NODE_FAIL|gpu[1-2]
"""


def test_squeue_knows_a_job_by_its_whole_number() -> None:
    assert read_squeue(SQUEUE, job="7") == Status("RUNNING", "gpu[1-2]", "None")
    assert read_squeue(SQUEUE, job="17") == Status("PENDING", "", "Priority")
    assert read_squeue(SQUEUE, job="170") == Status("CANCELLED", "", "(Dependency|odd)")
    assert read_squeue(SQUEUE, job="70") is None
    assert read_squeue("", job="7") is None


def test_sacct_says_who_cancelled_and_that_does_not_matter() -> None:
    assert read_sacct(SACCT, job="7") == Status("CANCELLED", "gpu1")
    assert read_sacct(SACCT, job="17") == Status("PENDING")
    assert read_sacct(SACCT, job="171") == Status("NODE_FAIL", "gpu[1-2]")
    assert read_sacct("", job="7") is None


@pytest.mark.parametrize(
    "state", ["CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT", GONE]
)
def test_what_ended_is_over(state: str) -> None:
    assert Status(state).over


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "NEW", SILENT])
def test_what_waits_runs_or_is_unknown_is_not_over(state: str) -> None:
    assert not Status(state).over


def test_a_status_is_one_phrase() -> None:
    assert str(Status("RUNNING", "gpu1", "None")) == "RUNNING on gpu1"
    assert str(Status("PENDING", "", "Priority")) == "PENDING (Priority)"
