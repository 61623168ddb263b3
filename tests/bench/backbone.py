"""Measure forward and backward of a student backbone, one way beside another, in turn.

python tests/bench/backbone.py                                  # prints rows for RECORDS.md
python tests/bench/backbone.py --sides packed separate packed+compile packed+xformers+bf16

Every side is a process of its own with the same weights, crops and masks. A side is `packed` (all
crops in one pass) or `separate` (a pass per crop size), then words joined by `+`:
`drop` stochastic depth of 0.4 on a subset; `zeroed` the same by multiplying with 0 after computing;
`autograd` linear maps that keep what autograd keeps; `recompute`, `compile`, `xformers`, `bf16`.
"""

import platform
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from case import Case
from sauropod import cli
from sauropod.io import commit
from sauropod.models import layers
from sauropod.models.layers import Block, Layout, Subset, has_xformers
from sauropod.models.positions import resize_positions
from sauropod.models.vit import VisionTransformer, build_vit
from turns import MIB, Metronome, Side, spread, synchronise, take_turns

SIDES = ("packed", "separate", "packed+autograd", "packed+recompute", "packed+drop")
SIDES += ("packed+zeroed", "packed+bf16", "packed+bf16+autograd")
DROP = 0.4


def main(
    case: cli.Knobs[Case],
    arch: str = "vit_small",
    sides: tuple[str, ...] = SIDES,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    threads: int = torch.get_num_threads(),
    warmup: int = 1,
    repeats: int = 5,
    turn: int = 0,
) -> None:
    """Print a table of the sides, then one of position embeddings.

    Args:
        case: Crops and masks; heads and optimiser play no part.
        arch: Architecture.
        sides: What to measure, see above; ratios are to the first.
        device: cpu or cuda.
        threads: Threads of a CPU side.
        warmup: Turns that do not count; with `compile` the first one compiles.
        repeats: Turns that do.
        turn: Passes per turn, the device waited for at its ends; 0 is 1 on a CPU, 10 on CUDA.
    """
    turn = turn or (10 if device == "cuda" else 1)
    chosen = [s for s in sides if "xformers" not in s or (device == "cuda" and has_xformers())]
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    print(f"commit {commit()}; {name}; torch {torch.__version__}, threads {threads}")
    arguments = (case, arch, device, threads, (warmup + repeats) * turn, turn)
    measured = take_turns(
        [(side, run_side, (side, *arguments)) for side in chosen], warmup=warmup, repeats=repeats
    )
    print(f"\n{arch}, patch {case.patch_size}, {case.batch_size} images of 2 x {case.global_size}")
    print(f"+ {case.num_local} x {case.local_size}; medians of n={repeats} turns of {turn}\n")
    print("| side | s, forward and backward | times faster | kept MiB | peak MiB |")
    print("|---|---|---|---|---|")
    for side in measured:
        print(row(side, measured[0], turn=turn))
    positions(torch.device(device), repeats=20)


def row(side: Side, first: Side, *, turn: int) -> str:
    """One line of the table; ratios pair by pair."""
    ratios = [b / a for a, b in zip(side.seconds, first.seconds, strict=True)]
    memory = [f"{side.facts[name] / MIB:,.0f}" for name in ("kept_bytes", "peak_bytes")]
    seconds = spread([s / turn for s in side.seconds], digits=3)
    return f"| {' | '.join([side.name, seconds, spread(ratios, digits=2), *memory])} |"


def run_side(
    pipe: Connection,
    side: str,
    case: Case,
    arch: str,
    device_name: str,
    threads: int,
    passes: int,
    turn: int,
) -> None:
    """The process of one side."""
    torch.set_num_threads(threads)
    kind, *words = side.split("+")
    device = torch.device(device_name)
    vit = prepared(case, arch, set(words)).to(device).train()
    # Data is made once: drawing noise takes memory and time of its own.
    batch = case.batch(0).to(device)
    crops, masks = [batch.global_crops, batch.local_crops], [batch.masks, None]
    groups = [(crops, masks)]
    if kind == "separate":
        groups = [([c], [m]) for c, m in zip(crops, masks, strict=True)]
    metronome = Metronome(pipe, lambda step: step, device=device, turn=turn)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def forward(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled="bf16" in words):
            outputs = [vit.forward_features(c, masks=m, generator=generator) for c, m in groups]
        features = [one for output in outputs for one in output]
        return sum(f.cls_token.float().sum() for f in features) + features[0].patch_tokens.sum()

    for step in range(passes):
        forward(metronome(step)).backward()
        vit.zero_grad(set_to_none=True)
    own = {p.untyped_storage().data_ptr() for p in vit.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        alive = forward(0)
    sizes = [size for storage, size in kept.items() if storage not in own]
    del alive
    metronome.finish(kept_bytes=sum(sizes))


def prepared(case: Case, arch: str, words: set[str]) -> VisionTransformer:
    """The backbone of a side."""
    assert words <= {"drop", "zeroed", "autograd", "recompute", "compile", "xformers", "bf16"}
    vit = build_vit(case.backbone(arch))
    vit.run_by("xformers" if "xformers" in words else "sdpa", recompute="recompute" in words)
    vit.drop_path = DROP if words & {"drop", "zeroed"} else 0.0
    if "autograd" in words:
        layers.frugal_linear = by_autograd
    if "zeroed" in words:
        for block in vit.blocks:
            block.__class__ = ZeroedBlock
    if "compile" in words:
        vit.compile_blocks()
    return vit


def by_autograd(
    before: Callable[..., Tensor], *inputs: Tensor, linear: nn.Linear, gamma: Tensor | None = None
) -> Tensor:
    """What `frugal_linear` computes, as autograd would keep it."""
    out = linear(before(*inputs))
    return out if gamma is None else out * gamma


class ZeroedBlock(Block):
    """Stochastic depth that computes everything and multiplies what is dropped with 0."""

    def forward(
        self,
        x: Tensor,
        *,
        layout: Layout,
        subsets: tuple[Subset | None, Subset | None] = (None, None),
    ) -> Tensor:
        """As `Block.forward`."""
        factors = []
        for subset in subsets:
            assert subset is not None
            factors.append(x.new_zeros(len(x), 1).index_fill_(0, subset.rows, 1 / (1 - DROP)))
        assert self.ls1 is not None
        assert self.ls2 is not None
        part = self.attn(x, norm=self.norm1, gamma=self.ls1.gamma, layout=layout)
        x = x + part * factors[0]
        return x + self.mlp(x, norm=self.norm2, gamma=self.ls2.gamma) * factors[1]


def positions(device: torch.device, *, repeats: int) -> None:
    """Position embeddings of a local crop, found weights beside F.interpolate, in turn."""
    sizes = {"height": 7, "width": 7, "offset": 0.1, "antialias": False}
    print("\n| position embedding, forward and backward, 1024 wide | ms | times faster |")
    print("|---|---|---|")
    for side in (16, 37):
        table = torch.randn(side, side, 1024, device=device, requires_grad=True)
        scale = (7.1 / side, 7.1 / side)

        def found(table: Tensor = table) -> Tensor:
            return resize_positions(table, **sizes)

        def peer(table: Tensor = table, scale: tuple[float, float] = scale) -> Tensor:
            image = table.permute(2, 0, 1)[None]
            return F.interpolate(image, scale_factor=scale, mode="bicubic")

        pairs = [(seconds(found, device), seconds(peer, device)) for _ in range(repeats)][1:]
        ms = spread([1e3 * a for a, _ in pairs], digits=2)
        ratio = spread([b / a for a, b in pairs], digits=1)
        print(
            f"| {side} x {side} to 7 x 7, beside F.interpolate, n={len(pairs)} | {ms} | {ratio} |"
        )


def seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    """Time one forward and backward."""
    synchronise(device)
    start = time.perf_counter()
    work().sum().backward()
    synchronise(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    cli.run(main)
