"""What is known of a training's job, in files that outlive whoever submitted it.

The folder `jobs` beside the checkpoints holds `state.json`, written before and after a submission
and forgotten when the training is done, and a folder per submission with what submitit writes, the
log of every task, `ended.json` (see `Ended`) and `outputs/`.
"""

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sauropod import io
from sauropod.cli import AGAIN
from sauropod.errors import InputError

FLAG = "--checkpoints"
OVER_MEMORY = re.compile(rb"^slurmstepd[^ :]*: error: .*exceeded .*memory limit", re.I | re.M)


@dataclass(frozen=True, kw_only=True)
class State:
    """The last submission of a training."""

    command: list[str]
    """The stage's command line."""
    launcher: str
    name: str
    """Of the submission: of its folder, and in the job's name."""
    number: int
    """Submissions so far, this one included."""
    job: str = ""
    """Slurm's number or the process that controls the tasks; empty until submitted."""
    watcher: str
    """Who watches the job; another name here tells that one to leave it."""


@dataclass(frozen=True)
class Ended:
    """How the tasks of a job ended; without one nobody was able to say."""

    code: int
    """Exit code of the stage."""
    rank: int
    """Of the task that ended like this first."""


def home(command: Sequence[str]) -> Path:
    """Folder of a training's jobs, in the folder of checkpoints that its command names.

    Raises:
        InputError: The command names none.
    """
    for word, value in zip(command, [*command[1:], ""], strict=True):
        if word == FLAG and value:
            return Path(value).absolute() / "jobs"
        if word.startswith(f"{FLAG}="):
            return Path(word.partition("=")[2]).absolute() / "jobs"
    raise InputError(
        FLAG,
        expected="a folder that checkpoints and what is known of the job are kept in",
        found="none in the command",
        fix="add it",
    )


def read(home: Path) -> State | None:
    """The last submission, if any.

    Raises:
        InputError: The file is not as it was written.
    """
    path = home / "state.json"
    try:
        return State(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(
            path,
            expected="the state of a job",
            found=repr(error),
            fix="see that no job of this training runs, then delete the file",
        ) from None


def write(home: Path, state: State) -> None:
    """Remember a submission."""
    home.mkdir(parents=True, exist_ok=True)
    io.write_json(asdict(state), home / "state.json")


def forget(home: Path, state: State) -> None:
    """A training is done and its files are where they belong."""
    (home / "state.json").unlink(missing_ok=True)
    shutil.rmtree(home / state.name / "outputs", ignore_errors=True)


def tell(folder: Path, *, code: int, rank: int) -> None:
    """Say how a task ended, unless another task said so before; a checkpoint is no end."""
    before = told(folder)
    if before is None or before.code == AGAIN:
        io.write_json({"code": code, "rank": rank}, folder / "ended.json")


def told(folder: Path) -> Ended | None:
    """How the job of a folder ended, as far as its tasks could say."""
    try:
        return Ended(**json.loads((folder / "ended.json").read_text()))
    except FileNotFoundError:
        return None


def log_of(folder: Path, job: str, *, rank: int) -> Path:
    """Where submitit lets a task write."""
    return folder / f"{job}_{rank}_log.out"


def over_memory(folder: Path) -> bool:
    """Whether Slurm says in a task's log that it killed the job for its memory."""
    return any(OVER_MEMORY.search(path.read_bytes()) for path in folder.glob("*_log.out"))


def keep(outputs: Sequence[str], folder: Path) -> None:
    """Keep a second name of every output: Snakemake deletes those whose job it did not see end."""
    kept = folder / "outputs"
    kept.mkdir(exist_ok=True)
    for number, output in enumerate(outputs):
        if Path(output).exists():
            _copy(Path(output), kept / str(number))


def restore(outputs: Sequence[str], folder: Path) -> None:
    """Put back every output that was deleted since `keep`."""
    for number, output in enumerate(outputs):
        kept = folder / "outputs" / str(number)
        if kept.exists() and not Path(output).exists():
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            _copy(kept, Path(output))


def _copy(source: Path, to: Path) -> None:
    """Link where the disk can, else copy."""
    with io.replacing(to) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)
