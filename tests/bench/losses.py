"""Measure parts of a step, each way beside the textbook's, in turn.

python tests/bench/losses.py                                 # prints rows for RECORDS.md
python tests/bench/losses.py --rows 2500 --prototypes 131072 --dtype bf16

Prototype loss (forward and backward, balancing of the targets included) and Sinkhorn-Knopp alone:
the matrix written out, or chunks of it (`scores_mib`; 0 all at once). AdamW and the moving average
over the parameters of a backbone and a head. Attention of a ViT-S layer, forward and backward, over
8 x 257 and 32 x 50 tokens. Every side is a process of its own; memory is what a call adds.
"""

import logging
import statistics
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import torch
import torch.nn.functional as F
from torch import Tensor

from case import Case
from our_step import networks
from sauropod import cli
from sauropod.io import commit
from sauropod.models.head import Scores
from sauropod.models.layers import Group, packed_attention
from sauropod.train.assignments import Assignments
from sauropod.train.fit import DTYPES
from sauropod.train.prototype_loss import prototype_loss
from sauropod.train.sinkhorn import sinkhorn_knopp
from train_step import machine, ratios
from turns import MIB, Metronome, spread, take_turns

STUDENT_TEMP, TEACHER_TEMP, WIDTH = 0.1, 0.07, 256
Work = Callable[[], object]


def main(
    only: tuple[str, ...] = ("loss", "sinkhorn", "adamw", "ema", "attention"),
    rows: int = 320,
    prototypes: int = 65_536,
    dtype: str = "fp32",
    scores_mib: tuple[int, ...] = (0, 16, 64, 256),
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    threads: int = torch.get_num_threads(),
    warmup: int = 2,
    repeats: int = 7,
    turn: int = 0,
) -> None:
    """Print one table per part.

    Args:
        only: Parts to measure.
        rows: Masked patches of student and teacher.
        prototypes: Of a head.
        dtype: fp32, bf16 or fp16: of features, prototypes and attention.
        scores_mib: Scores computed at once, MiB.
        device: cpu or cuda.
        threads: Threads of a CPU side.
        warmup: Turns that do not count.
        repeats: Turns that do.
        turn: Calls per turn; 0 is 1 on a CPU, 10 on CUDA.
    """
    turn = turn or (10 if device == "cuda" else 1)
    print(f"commit {commit()}; {machine(device)}; torch {torch.__version__}, threads {threads}")
    chunked = [f"scores_mib={mib}" for mib in scores_mib]
    sides = {
        "loss": ["written out", *chunked],
        "sinkhorn": ["written out", *chunked],
        "adamw": ["loop", "foreach", "fused"],
        "ema": ["mul and add", "lerp"],
        "attention": ["sdpa", "ours"],
    }
    shared = (rows, prototypes, dtype, device, threads, (warmup + repeats) * turn, turn)
    for part in only:
        measured = take_turns(
            [(side, run_side, (part, side, *shared)) for side in sides[part]],
            warmup=warmup,
            repeats=repeats,
        )
        print(f"\n{part}: {rows:,} rows, {prototypes:,} prototypes, {dtype}")
        print(f"medians of n={repeats} turns of {turn} call(s)\n")
        print("| side | ms | times faster | CPU ms | times less | adds MiB |")
        print("|" + "---|" * 6)
        for side in measured:
            wall = [1e3 * seconds / turn for seconds in side.seconds]
            cpu = statistics.median(side.cpu_seconds) * 1e3 / turn
            faster = ratios(measured[0].seconds, side.seconds)
            less = ratios(measured[0].cpu_seconds, side.cpu_seconds)
            added = f"{side.facts['peak_bytes'] / MIB:,.0f}"
            cells = [side.name, spread(wall, digits=1), faster, f"{cpu:.1f}", less, added]
            print(f"| {' | '.join(cells)} |", flush=True)


def run_side(
    pipe: Connection,
    part: str,
    side: str,
    rows: int,
    prototypes: int,
    dtype: str,
    device_name: str,
    threads: int,
    steps: int,
    turn: int,
) -> None:
    """The process of one side."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = torch.device(device_name)
    half = DTYPES[dtype] or torch.float32
    if part in ("loss", "sinkhorn"):
        work = {"loss": loss, "sinkhorn": balance}[part](side, rows, prototypes, half, device)
    elif part == "attention":
        work = attention(side, half, device)
    else:
        work = {"adamw": adamw, "ema": ema}[part](side, prototypes, device)
    metronome = Metronome(pipe, lambda _: None, device=device, turn=turn)
    for step in range(steps):
        metronome(step)
        work()
    metronome.finish()


def random_scores(rows: int, prototypes: int, dtype: torch.dtype, device: torch.device) -> Scores:
    """Unit features and unit prototypes."""
    both = [F.normalize(torch.randn(n, WIDTH), dim=1) for n in (rows, prototypes)]
    return Scores(*(x.to(device, dtype) for x in both))


def written_out(scores: Scores) -> Tensor:
    """Sinkhorn-Knopp on the whole matrix, as the paper's algorithm reads."""
    q = torch.exp((scores.features @ scores.prototypes.t()).float() / TEACHER_TEMP).t()
    num_prototypes, num_rows = q.shape
    q /= q.sum()
    for _ in range(3):
        q /= q.sum(dim=1, keepdim=True) * num_prototypes
        q /= q.sum(dim=0, keepdim=True) * num_rows
    return (q * num_rows).t()


def max_bytes(side: str) -> int:
    """Of a side's name."""
    return int(side.removeprefix("scores_mib=")) << 20


def balance(
    side: str, rows: int, prototypes: int, dtype: torch.dtype, device: torch.device
) -> Work:
    """Targets of the teacher's scores."""
    scores = random_scores(rows, prototypes, dtype, device)
    if side == "written out":
        return lambda: written_out(scores)
    return lambda: sinkhorn_knopp(scores, temperature=TEACHER_TEMP, max_bytes=max_bytes(side))


def loss(side: str, rows: int, prototypes: int, dtype: torch.dtype, device: torch.device) -> Work:
    """Loss and gradients of the student's scores."""
    teacher, student = (random_scores(rows, prototypes, dtype, device) for _ in range(2))
    weights = torch.full((rows,), 1 / rows, device=device)
    for tensor in student:
        tensor.requires_grad_()

    def plainly() -> None:
        log_p = F.log_softmax((student.features @ student.prototypes.t()) / STUDENT_TEMP, dim=-1)
        (-(written_out(teacher) * log_p).sum(dim=-1) * weights).sum().backward()

    def in_chunks() -> None:
        limit = max_bytes(side)
        bias = sinkhorn_knopp(teacher, temperature=TEACHER_TEMP, max_bytes=4 * limit)
        targets = Assignments(teacher, bias, TEACHER_TEMP)
        prototype_loss(
            student, targets, weights=weights, temperature=STUDENT_TEMP, max_bytes=limit
        ).backward()

    def work() -> None:
        for tensor in student:
            tensor.grad = None
        plainly() if side == "written out" else in_chunks()

    return work


def adamw(side: str, prototypes: int, device: torch.device) -> Work:
    """One step over a ViT-S and its head."""
    modules = networks(Case(prototypes=prototypes), "vit_small").to(device)
    for parameter in modules.parameters():
        parameter.grad = torch.randn_like(parameter)
    flags = {"fused": side == "fused", "foreach": side == "foreach"}
    return torch.optim.AdamW(modules.parameters(), lr=1e-7, **flags).step


def ema(side: str, prototypes: int, device: torch.device) -> Work:
    """Move a ViT-S and its head towards another."""
    case = Case(prototypes=prototypes)
    average, source = (
        [p.detach() for p in networks(case, "vit_small").to(device).parameters()] for _ in range(2)
    )

    def work() -> None:
        if side == "lerp":
            torch._foreach_lerp_(average, source, 0.006)
        else:
            torch._foreach_mul_(average, 0.994)
            torch._foreach_add_(average, source, alpha=0.006)

    return work


def attention(side: str, dtype: torch.dtype, device: torch.device) -> Work:
    """Packed attention of one layer, forward and backward."""
    layout = (Group(8, 257), Group(32, 50))
    qkv = torch.randn(sum(n * t for n, t in layout), 3, 6, 64).to(device, dtype).requires_grad_()

    def work() -> None:
        qkv.grad = None
        if side == "ours":
            parts = packed_attention(qkv, layout=layout)
        else:
            split = zip(layout, qkv.split([n * t for n, t in layout]), strict=True)
            views = [part.unflatten(0, group).permute(2, 0, 3, 1, 4) for group, part in split]
            parts = [F.scaled_dot_product_attention(*qkv) for qkv in views]
        torch.stack([part.float().sum() for part in parts]).sum().backward()

    return work


if __name__ == "__main__":
    cli.run(main)
