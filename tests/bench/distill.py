"""Measure several students under one teacher beside a run for each of them, in turn.

python tests/bench/distill.py                                # prints rows for RECORDS.md
python tests/bench/distill.py --teacher vit_large --students vit_small vit_base --precision bf16

The last row is the whole run's seconds as a share of the separate runs' sum, turn by turn.
"""

import logging
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import torch

import our_step
from case import Case
from sauropod import cli
from sauropod.io import commit
from sauropod.train.config import Speed
from sauropod.train.distillation import Distillation
from train_step import describe, machine
from turns import MIB, Metronome, spread, take_turns


def main(
    case: Case,
    speed: Speed,
    teacher: str = "vit_base",
    students: tuple[str, ...] = ("vit_tiny", "vit_small"),
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    threads: int = torch.get_num_threads(),
    warmup: int = 1,
    repeats: int = 5,
    turn: int = 0,
) -> None:
    """Print one table.

    Args:
        case: Crops and heads.
        speed: How it is run.
        teacher: Architecture of the teacher.
        students: Architectures of the students.
        precision: Arithmetic of forward and backward.
        device: cpu or cuda.
        threads: Threads of a CPU side.
        warmup: Turns that do not count.
        repeats: Turns that do.
        turn: Steps per turn; 0 is 1 on a CPU, 10 on CUDA.
    """
    turn = turn or (10 if device == "cuda" else 1)
    print(f"commit {commit()}; {machine(device)}; torch {torch.__version__}, threads {threads}")
    print(f"teacher {teacher}, {describe(case)}, {precision}; n={repeats} turns of {turn}\n")
    shared = (case, speed, teacher, precision, device, threads, (warmup + repeats) * turn, turn)
    together, *alone = take_turns(
        [(" + ".join(s), run_side, (s, *shared)) for s in (students, *[(s,) for s in students])],
        warmup=warmup,
        repeats=repeats,
    )
    print("| students | s per step | CPU s | peak MiB |\n|---|---|---|---|")
    for side in (together, *alone):
        wall = spread([seconds / turn for seconds in side.seconds], digits=3)
        cpu = spread([seconds / turn for seconds in side.cpu_seconds], digits=3)
        print(f"| {side.name} | {wall} | {cpu} | {side.facts['peak_bytes'] / MIB:,.0f} |")
    shares = [
        spread([a / sum(rest) for a, *rest in zip(*times, strict=True)], digits=2)
        for times in (
            [side.seconds for side in (together, *alone)],
            [side.cpu_seconds for side in (together, *alone)],
        )
    ]
    print(f"| together / sum of separate runs | {shares[0]} | {shares[1]} | |")


def run_side(
    pipe: Connection,
    students: tuple[str, ...],
    case: Case,
    speed: Speed,
    teacher: str,
    precision: Literal["fp32", "bf16", "fp16"],
    device_name: str,
    threads: int,
    steps: int,
    turn: int,
) -> None:
    """The process of one side: a distillation into some students."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    metronome = Metronome(pipe, lambda step: case.batch(step).to(device), device=device, turn=turn)
    model = Distillation(
        {name: our_step.networks(case, name) for name in students},
        teacher=our_step.networks(case, teacher),
        objective=case.objective,
        max_bytes=speed.scores_mib << 20,
    )
    our_step.prepared(model, speed=speed, device=device)
    our_step.train(model, case, load=metronome, steps=steps, precision=precision, device=device)
    metronome.finish()


if __name__ == "__main__":
    cli.run(main)
