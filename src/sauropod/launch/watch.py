"""Submit a training, or find the job that runs it already, and see it to its end."""

import dataclasses
import logging
import os
import shlex
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sauropod.cli import AGAIN
from sauropod.errors import Checkpointed, InputError
from sauropod.launch import places, record
from sauropod.launch.config import Launch
from sauropod.launch.places import Place
from sauropod.launch.record import Ended, State
from sauropod.launch.slurm import Status

logger = logging.getLogger(__name__)

SURE = 4  # times in a row that either Slurm or the job itself says it is over, when not both do
TAIL_BYTES = 4000


def launch(command: Sequence[str], *, outputs: Sequence[str], knobs: Launch) -> int:
    """Run a stage's command line as a job; returns the exit code of the stage.

    A job of the same training that waits, runs or is done is found again and watched; nothing is
    submitted beside it. Its log goes to stderr.

    Args:
        command: A stage script and its flags, `--checkpoints` among them.
        outputs: Files it makes.
        knobs: Where; the launcher is not none.

    Raises:
        Checkpointed: It was stopped, cancelled or lost: run again to go on.
        InputError: The cluster refuses the job; another training uses the checkpoints.
    """
    home = record.home(command)
    place = places.of(knobs.launcher, knobs)
    state = _running(home, command=command, knobs=knobs)
    while True:
        if state is None or not state.job:
            state = _submit(home, state, command=command, outputs=outputs, place=place, knobs=knobs)
        with _asked_to_leave(place, state.job):
            status, ended = _watch(home, state, place=place, poll_s=knobs.poll_s)
        if ended and ended.code == 0:
            record.restore(outputs, home / state.name)
            record.forget(home, state)
            return 0
        if ended and ended.code != AGAIN:
            _show_failure(home / state.name, state.job, rank=ended.rank)
            place.stop(state.job)
            return ended.code
        check_resumable(state, status, ended, knobs=knobs)
        logger.info("job %s ended: %s; submitting it again", state.job, status)
        state = dataclasses.replace(state, job="")


def _running(home: Path, *, command: Sequence[str], knobs: Launch) -> State | None:
    """The training's job when it waits, runs, or is done without anybody having seen it.

    Raises:
        InputError: A job of another command or launcher waits or runs.
    """
    state = record.read(home)
    if state is None:
        return None
    place, folder = places.of(state.launcher, knobs), home / state.name
    job, ended = state.job or place.find(folder), record.told(folder)
    same = state.command == list(command) and state.launcher == knobs.launcher
    done = ended is not None and ended.code == 0
    if not job or _failed(ended) or (done and not same):
        return None
    if not done and place.status(job, folder=folder).over:
        return None
    if not same:
        raise InputError(
            home.parent,
            expected="no other job that writes here",
            found=f"job {job} ({state.launcher}) of the command {shlex.join(state.command)}",
            fix=f"wait for it, or end it and run again: {place.how_to_end(job)}",
        )
    logger.info("found job %s, submission %d", job, state.number)
    state = dataclasses.replace(state, job=job, watcher=_me())
    record.write(home, state)
    return state


def _failed(ended: Ended | None) -> bool:
    return ended is not None and ended.code not in (0, AGAIN)


def _submit(
    home: Path,
    before: State | None,
    *,
    command: Sequence[str],
    outputs: Sequence[str],
    place: Place,
    knobs: Launch,
) -> State:
    """Submit a job. What is written first lets it be found by name, should we be killed now."""
    state = State(
        command=list(command),
        launcher=knobs.launcher,
        name=f"{Path(command[0]).stem}-{uuid.uuid4().hex[:8]}",
        number=before.number + 1 if before else 1,
        watcher=_me(),
    )
    record.write(home, state)
    job = place.submit(command, outputs=outputs, folder=home / state.name)
    state = dataclasses.replace(state, job=job)
    record.write(home, state)
    size = f"{knobs.nodes} x {knobs.tasks} processes"
    logger.info("submitted job %s: %s, logs in %s", job, size, home / state.name)
    return state


def _me() -> str:
    return f"{os.uname().nodename} {os.getpid()} {uuid.uuid4().hex[:8]}"


@contextmanager
def _asked_to_leave(place: Place, job: str) -> Iterator[None]:
    """Handle SIGTERM for the time of the block: a job goes on, local processes end."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        if not place.leave(job):
            message = (
                f"job {job} goes on; run again to watch it, or end it: {place.how_to_end(job)}"
            )
            raise Checkpointed(message)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _watch(home: Path, state: State, *, place: Place, poll_s: float) -> tuple[Status, Ended | None]:
    """Pass rank 0's log on until the job ends; returns its last state and what its tasks said."""
    folder, shown, over = home / state.name, "", 0
    log = Log(record.log_of(folder, state.job, rank=0))
    while True:
        mine = record.read(home)
        if mine is None or mine.watcher != state.watcher:
            message = f"job {state.job} is watched by another process now"
            raise Checkpointed(message)
        status = place.status(state.job, folder=folder)
        ended = record.told(folder)
        if str(status) != shown:
            shown = str(status)
            logger.info("job %s: %s", state.job, shown)
        said = ended is not None and ended.code != AGAIN
        over = over + 1 if status.over or said else 0
        log.follow(poll_s)
        if over >= SURE or (said and status.over):
            return status, ended


class Log:
    """A file that grows, passed on to stderr."""

    def __init__(self, path: Path) -> None:
        """Begin at the start of what may not exist yet."""
        self._path = path
        self._read = 0

    def follow(self, seconds: float) -> None:
        """Pass on what comes within some seconds."""
        end = time.monotonic() + seconds
        while True:
            self._pass_on()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(1.0, left))

    def _pass_on(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return
        self._read += len(new)
        sys.stderr.write(new.decode(errors="replace"))
        sys.stderr.flush()


def _show_failure(folder: Path, job: str, *, rank: int) -> None:
    """Pass on the end of the log of a rank that failed first, when it was not seen already."""
    path = record.log_of(folder, job, rank=rank)
    if rank and path.exists():
        logger.info("rank %d failed first; the end of its log:", rank)
        sys.stderr.write(path.read_bytes()[-TAIL_BYTES:].decode(errors="replace"))


def check_resumable(state: State, status: Status, ended: Ended | None, *, knobs: Launch) -> None:
    """Go on only where the knobs say so.

    Raises:
        Checkpointed: They do not, or it was tried often enough.
        InputError: There was too little memory, which will not change.
    """
    job = f"job {state.job} ended: {status}"
    if status.state == "OUT_OF_MEMORY":
        knob = "mem_gb"
        raise InputError(
            knob,
            expected="memory for the training",
            found=job,
            fix="raise it, or lower num_workers; the last checkpoint is whole",
        )
    if state.launcher == "local":
        said = "with a checkpoint after a signal" if ended else "without a word"
        message = f"the processes ended {said}; logs are in {state.name}; run again to go on"
        raise Checkpointed(message)
    kind = "cancel" if status.state == "CANCELLED" else "loss"
    if kind not in knobs.resume_after or state.number >= knobs.submissions:
        often = f" (submission {state.number} of {knobs.submissions})" if kind == "loss" else ""
        message = f"{job}{often}; run again to go on from the last checkpoint"
        raise Checkpointed(message)
