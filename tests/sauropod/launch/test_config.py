"""How many processes a launcher may be asked for."""

import pytest

from sauropod.errors import InputError
from sauropod.launch.config import Launch, check


def test_a_task_per_gpu_unless_told() -> None:
    assert Launch().tasks == 1
    assert Launch(gpus_per_node=8).tasks == 8
    assert Launch(gpus_per_node=8, tasks_per_node=2).tasks == 2


@pytest.mark.parametrize(
    ("launch", "sentence"),
    [
        (Launch(tasks_per_node=2), "expected one process with launcher none, found 1 x 2"),
        (Launch(nodes=2), "expected one process with launcher none, found 2 x 1"),
        (Launch(launcher="local", nodes=2), "expected one node with launcher local"),
    ],
)
def test_what_a_launcher_cannot_start(launch: Launch, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check(launch)


def test_what_it_can() -> None:
    check(Launch())
    check(Launch(launcher="local", gpus_per_node=8))
    check(Launch(launcher="slurm", nodes=4, gpus_per_node=8))
