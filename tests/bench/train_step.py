"""Measure a training step beside facebookresearch/dinov2, in turn, in the same minute.

python tests/bench/train_step.py --reference CHECKOUT      # prints rows for RECORDS.md

Every side is a process of its own, starts from the same weights and trains on the same crops and
masks with constant schedules; a step is data to device, forward, losses, backward, clip, AdamW,
EMA. A side is `ours` or `reference`, then words joined by `+`: `bf16` or `fp16` for half precision,
and for ours any field of config.Speed (`recompute`, `scores_mib=0`). Ratios are reference / side.
"""

import dataclasses
import logging
import statistics
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import torch

import our_step
from case import Case
from reference_step import ReferenceStep
from sauropod import cli
from sauropod.io import commit
from sauropod.models.flops import peak_flops, step_flops
from sauropod.models.vit import ARCHS
from sauropod.train.config import Speed
from sauropod.train.fit import DTYPES
from turns import MIB, Metronome, Side, spread, take_turns


def main(
    case: cli.Knobs[Case],
    reference: Path | None = None,
    arch: tuple[str, ...] = ("vit_tiny", "vit_small"),
    sides: tuple[str, ...] = ("ours", "reference"),
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    threads: int = torch.get_num_threads(),
    warmup: int = 2,
    repeats: int = 5,
    turn: int = 0,
) -> None:
    """Print one table per architecture.

    Args:
        case: What is trained.
        reference: Checkout of facebookresearch/dinov2; without one its sides are left out.
        arch: Architectures, one table each.
        sides: What to measure, see above.
        device: cpu or cuda.
        threads: Threads of a CPU side.
        warmup: Turns that do not count.
        repeats: Turns that do.
        turn: Steps per turn, the device waited for at its ends; 0 is 1 on a CPU, 10 on CUDA.
    """
    turn = turn or (10 if device == "cuda" else 1)
    chosen = [side for side in sides if reference or not side.startswith("reference")]
    print(f"commit {commit()}; {machine(device)}; torch {torch.__version__}, threads {threads}")
    for name in arch:
        assert name in ARCHS, f"--arch {name}: expected {' or '.join(ARCHS)}"
        shared = (case, name, device, threads, (warmup + repeats) * turn, turn, reference)
        measured = take_turns(
            [(side, run_side, (side, *shared)) for side in chosen], warmup=warmup, repeats=repeats
        )
        print(f"\n{name}, {describe(case)}; medians of n={repeats} turns of {turn} step(s)\n")
        flops = step_flops(
            [case.backbone(name)], case.heads, case.crops(), objective=case.objective
        )
        print(table(measured, case=case, turn=turn, flops=flops, device=device), flush=True)


def run_side(
    pipe: Connection,
    side: str,
    case: Case,
    arch: str,
    device_name: str,
    threads: int,
    steps: int,
    turn: int,
    reference: Path | None,
) -> None:
    """The process of one side."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    kind, precision, speed = parse(side)
    dtype = DTYPES[precision]

    def batch(step: int) -> Any:  # noqa: ANN401
        made = case.batch(step).to(device)
        if kind == "ours" or dtype is None:
            return made
        halves = {name: getattr(made, name).to(dtype) for name in ("global_crops", "local_crops")}
        return dataclasses.replace(made, **halves)

    metronome = Metronome(pipe, batch, device=device, turn=turn)
    if kind == "ours":
        model = our_step.pretraining(case, arch, speed=speed, device=device)
        fitted = our_step.train(
            model, case, load=metronome, steps=steps, precision=precision, device=device
        )
        facts = {name: value for name, value in fitted.log.rows[-1].items() if "loss" in name}
        facts["num_parameters"] = sum(p.numel() for p in model.student.parameters())
    else:
        assert reference is not None
        step_of = ReferenceStep(reference, case, arch, device=device, dtype=dtype)
        for step in range(steps):
            step_of(metronome(step))
        facts = {name: total / steps for name, total in step_of.totals.items()}
        facts |= {"loss": sum(facts.values()), "num_parameters": step_of.num_parameters}
    metronome.finish(**facts)


def parse(side: str) -> tuple[str, str, Speed]:
    """Split `ours+bf16+scores_mib=0` into kind, precision and speed knobs."""
    kind, *words = side.split("+")
    assert kind in ("ours", "reference"), f"--sides {side}: expected ours or reference first"
    precision = next((word for word in words if word in DTYPES), "fp32")
    knobs: dict[str, Any] = {}
    for word in words:
        if word not in DTYPES:
            name, _, value = word.partition("=")
            knobs[name] = int(value) if value.isdigit() else value or True
    return kind, precision, dataclasses.replace(Speed(), **knobs)


def table(measured: list[Side], *, case: Case, turn: int, flops: float, device: str) -> str:
    """Markdown rows; ratios are reference / side, pair by pair; `flops` are those of an image."""
    peer = next((side for side in measured if side.name.startswith("reference")), None)
    lines = [
        "| side | s per step | images/s | MFU | times faster | CPU s | times less | peak MiB "
        "| of it weights and moments | share of reference's peak | mean loss |",
        f"|{'---|' * 11}",
    ]
    for side in measured:
        wall = [seconds / turn for seconds in side.seconds]
        cpu = [seconds / turn for seconds in side.cpu_seconds]
        peak = side.facts["peak_bytes"]
        kept = 16 * side.facts["num_parameters"]  # student, teacher and two moments, fp32
        faster = less = share = "-"
        if peer is not None and peer is not side:
            faster = ratios(peer.seconds, side.seconds)
            less = ratios(peer.cpu_seconds, side.cpu_seconds)
            share = f"{peak / peer.facts['peak_bytes']:.2f}"
        cells = [
            side.name,
            spread(wall, digits=3),
            f"{case.batch_size / statistics.median(wall):.1f}",
            mfu(flops * case.batch_size / statistics.median(wall), side.name, device=device),
            faster,
            f"{statistics.median(cpu):.3f}",
            less,
            f"{peak / MIB:,.0f}",
            f"{kept / MIB:,.0f}",
            share,
            f"{side.facts['loss']:.5f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mfu(flops: float, side: str, *, device: str) -> str:
    """Share of the device's peak that `flops` per second are, where the peak is known."""
    peak = peak_flops(machine(device), parse(side)[1])
    return f"{flops / peak:.1%}" if peak else "-"


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Spread of theirs / ours, pair by pair."""
    return spread([a / b for a, b in zip(theirs, ours, strict=True)], digits=2)


def describe(case: Case) -> str:
    """The case in a few words."""
    heads = "untied heads" if case.untied else "one head"
    return (
        f"patch {case.patch_size}, {case.batch_size} images of 2 x {case.global_size} + "
        f"{case.num_local} x {case.local_size}, {heads} of {case.prototypes:,} prototypes, "
        f"drop path {case.drop_path:g}"
    )


def machine(device: str) -> str:
    """The device's name."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'CPU'} x {len(names)}"


if __name__ == "__main__":
    cli.run(main)
