"""What is remembered of a job, and the second names of what it made."""

from pathlib import Path

import pytest

from sauropod.errors import InputError
from sauropod.launch import record
from sauropod.launch.record import Ended, State

STATE = State(
    command=["pretrain.py", "--seed", "1"],
    launcher="slurm",
    name="pretrain-0",
    number=2,
    job="17",
    watcher="me",
)


@pytest.mark.parametrize("words", [["--checkpoints", "there"], ["--checkpoints=there"]])
def test_home_is_beside_the_checkpoints(words: list[str]) -> None:
    assert record.home(["x.py", "--out", "o", *words]) == Path.cwd() / "there" / "jobs"


@pytest.mark.parametrize("words", [[], ["--checkpoints"], ["--checkpoints-every", "2"]])
def test_a_command_without_checkpoints(words: list[str]) -> None:
    with pytest.raises(InputError, match="--checkpoints: expected a folder"):
        record.home(["x.py", *words])


def test_state_is_read_as_written_and_forgotten(tmp_path: Path) -> None:
    assert record.read(tmp_path) is None
    record.write(tmp_path, STATE)
    assert record.read(tmp_path) == STATE
    record.forget(tmp_path, STATE)
    assert record.read(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_state(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(InputError, match=r"state\.json: expected the state of a job"):
        record.read(tmp_path)


def test_the_first_end_counts_but_a_checkpoint_is_none(tmp_path: Path) -> None:
    assert record.told(tmp_path) is None
    record.tell(tmp_path, code=75, rank=0)
    record.tell(tmp_path, code=2, rank=3)
    record.tell(tmp_path, code=1, rank=0)
    assert record.told(tmp_path) == Ended(code=2, rank=3)


def test_deleted_outputs_come_back_and_others_stay(tmp_path: Path) -> None:
    outputs = [tmp_path / "a", tmp_path / "b", tmp_path / "never"]
    job = tmp_path / "job"
    job.mkdir()
    for path in outputs[:2]:
        path.write_text(path.name)
    record.keep([str(path) for path in outputs], job)
    outputs[0].unlink()
    outputs[1].write_text("newer")
    record.restore([str(path) for path in outputs], job)
    assert [path.read_text() for path in outputs[:2]] == ["a", "newer"]
    assert not outputs[2].exists()


@pytest.mark.parametrize(
    ("said", "over"),
    [
        ("slurmstepd-gpu1: error: Exceeded job memory limit\n", True),
        ("step 3\nslurmstepd: error: Step 7.0 exceeded memory limit (9 > 8), being killed\n", True),
        ("slurmstepd: error: *** JOB 7 ON gpu1 CANCELLED DUE TO NODE FAILURE ***\n", False),
        ("ValueError: slurmstepd: error: exceeded memory limit\n", False),
    ],
)
def test_a_kill_for_memory_is_told_in_the_log(tmp_path: Path, said: str, over: bool) -> None:
    record.log_of(tmp_path, "7", rank=0).write_text("INFO start\n")
    record.log_of(tmp_path, "7", rank=1).write_text(said)
    assert record.over_memory(tmp_path) == over
