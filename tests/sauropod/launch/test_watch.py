"""A lost or cancelled job goes on by itself only where the knobs say so."""

import pytest

from sauropod.errors import Checkpointed, InputError
from sauropod.launch.config import Launch
from sauropod.launch.record import State
from sauropod.launch.slurm import Status
from sauropod.launch.watch import check_resumable


def submitted(number: int) -> State:
    command = ["pretrain.py"]
    return State(command=command, launcher="slurm", name="a", number=number, job="7", watcher="me")


@pytest.mark.parametrize(
    ("state", "knobs"),
    [
        ("NODE_FAIL", Launch()),
        ("FAILED", Launch()),
        ("CANCELLED", Launch(resume_after=("loss", "cancel"))),
    ],
)
def test_goes_on(state: str, knobs: Launch) -> None:
    check_resumable(submitted(1), Status(state), None, knobs=knobs)


@pytest.mark.parametrize(
    ("state", "number", "knobs", "sentence"),
    [
        ("CANCELLED", 1, Launch(), "job 7 ended: CANCELLED; run again to go on"),
        ("NODE_FAIL", 1, Launch(resume_after=()), "NODE_FAIL .submission 1 of 5.; run again"),
        ("NODE_FAIL", 5, Launch(), "NODE_FAIL .submission 5 of 5.; run again"),
    ],
)
def test_ends(state: str, number: int, knobs: Launch, sentence: str) -> None:
    with pytest.raises(Checkpointed, match=sentence):
        check_resumable(submitted(number), Status(state), None, knobs=knobs)


def test_too_little_memory_will_not_change() -> None:
    with pytest.raises(InputError, match="mem_gb: expected memory for the training"):
        check_resumable(submitted(1), Status("OUT_OF_MEMORY"), None, knobs=Launch())
