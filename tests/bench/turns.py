"""Sides of a benchmark, each a fresh process, which take turns: A B C A B C ...

A process of its own makes each side's peak memory its own, and taking turns lets noise of the
machine fall on all of them. Reads /proc, so Linux only.
"""

import multiprocessing as mp
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")
MIB = 2**20


def resident_bytes(*, peak: bool = False) -> int:
    """Resident memory of this process, now or at most so far."""
    found = re.search(
        rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", Path("/proc/self/status").read_text()
    )
    assert found
    return int(found[1]) * 1024


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory(device: torch.device, *, peak: bool = False) -> int:
    """Bytes held on the device, or by this process where that is a CPU; now or at most so far."""
    if device.type == "cuda":
        cuda = torch.cuda
        return cuda.max_memory_allocated(device) if peak else cuda.memory_allocated(device)
    return resident_bytes(peak=peak)


class Metronome(Generic[T]):
    """Hands out the data of each step; stops the clock between turns of several steps.

    A training loop calls it once per step, so that whatever the loop does in a step is timed.
    """

    def __init__(
        self, pipe: Connection, make: Callable[[int], T], *, device: torch.device, turn: int
    ) -> None:
        """Make data with `make(step)`, untimed, for turns of `turn` steps."""
        self._pipe, self._make, self._device, self._turn = pipe, make, device, turn
        self._baseline = _memory(device)
        self._start: tuple[float, float] | None = None
        self._ready: list[T] = []

    def __call__(self, step: int) -> T:
        """The data of a step; between two turns tells the time of the last and waits for leave."""
        if step % self._turn == 0:
            elapsed = self._elapsed()
            self._ready = [self._make(step + i) for i in range(self._turn)]
            synchronise(self._device)
            self._pipe.send(elapsed)
            self._pipe.recv()
            self._start = time.perf_counter(), time.process_time()
        return self._ready[step % self._turn]

    def _elapsed(self) -> tuple[float, float] | None:
        """Wall-clock and processor seconds of the turn."""
        if self._start is None:
            return None
        synchronise(self._device)
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]

    def finish(self, **facts: Any) -> None:  # noqa: ANN401 - whatever a side has to say
        """End the last turn; tell its time and the facts, peak memory among them."""
        self._pipe.send(self._elapsed())
        facts["peak_bytes"] = _memory(self._device, peak=True) - self._baseline
        self._pipe.send(facts)


@dataclass
class Side:
    """What was measured of one side."""

    name: str
    seconds: list[float] = field(default_factory=list)
    """Wall-clock per turn, after warm-up."""
    cpu_seconds: list[float] = field(default_factory=list)
    """Processor time of all threads per turn: what a busy machine distorts least."""
    facts: dict[str, Any] = field(default_factory=dict)


def take_turns(
    sides: Sequence[tuple[str, Callable[..., None], tuple[Any, ...]]], *, warmup: int, repeats: int
) -> list[Side]:
    """Run the sides in turn.

    Args:
        sides: Name, function and arguments of each. The function runs in a process of its own as
            `function(pipe, *arguments)` and goes through `warmup + repeats` turns of a `Metronome`.
        warmup: Turns that do not count.
        repeats: Turns that do.

    Raises:
        RuntimeError: A side ended early; its traceback stands above.
    """
    context = mp.get_context("spawn")
    pipes, processes = [], []
    for name, function, arguments in sides:
        ours, theirs = context.Pipe()
        process = context.Process(target=function, args=(theirs, *arguments), name=name)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    measured = [Side(name) for name, _, _ in sides]
    try:
        for pipe in pipes:
            pipe.recv()  # ready for the first turn
        for turn in range(warmup + repeats):
            for side, pipe in zip(measured, pipes, strict=True):
                pipe.send("go")
                wall, cpu = pipe.recv()
                if turn >= warmup:
                    side.seconds.append(wall)
                    side.cpu_seconds.append(cpu)
        for side, pipe in zip(measured, pipes, strict=True):
            side.facts = pipe.recv()
    except EOFError:
        message = "a side ended early; its traceback stands above"
        raise RuntimeError(message) from None
    finally:
        for process in processes:
            process.join(timeout=10)
            process.kill()
    return measured


def spread(values: Sequence[float], *, digits: int) -> str:
    """Spell `median [min, max]`."""
    median, least, most = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} [{least:.{digits}f}, {most:.{digits}f}]"
