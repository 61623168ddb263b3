"""Measure the dense heads: scores upsampled instead of features, and three heads off one forward.

    python tests/bench/dense.py --repeats 5

Prints rows for RECORDS.md, medians [min, max] of n, the two sides in turn; CPU, processor time.
"""

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

from turns import spread

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.evaluate.dense.config import Depth
from sauropod.evaluate.dense.depth import build_heads
from sauropod.evaluate.dense.depth_heads import BinsHead
from sauropod.evaluate.dense.depth_loss import depth_loss
from sauropod.evaluate.dense.patch_maps import PatchMap, patch_maps, quarter_blocks
from sauropod.io import commit
from sauropod.models.vit import build_vit
from sauropod.train.config import Backbone


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def published(head: BinsHead, maps: list[PatchMap]) -> Tensor:
    """The linear depth head in the order of the reference: features are upsampled, then scored."""
    wide = [
        torch.cat([patches, cls[:, :, None, None].expand_as(patches)], dim=1)
        for patches, cls in maps
    ]
    wide = [F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False) for x in wide]
    scores = head.conv_depth(torch.cat(wide, dim=1)).relu() + 0.1
    shares = scores / scores.sum(dim=1, keepdim=True)
    return torch.einsum("bkhw,k->bhw", shares, head.get_buffer("bins"))


def bins_head(repeats: int, width: int) -> None:
    """Forward and backward of the four-layer linear head on one NYU crop."""
    head = BinsHead(width, num_layers=4, num_bins=256, max_depth=10)
    maps = [PatchMap(torch.randn(1, width, 30, 39), torch.randn(1, width)) for _ in range(4)]
    times: dict[str, list[float]] = {"ours": [], "published": []}
    for _ in range(repeats):
        times["ours"].append(seconds(lambda: head(maps).sum().backward()))
        times["published"].append(seconds(lambda: published(head, maps).sum().backward()))
    faster = [b / a for a, b in zip(times["ours"], times["published"], strict=True)]
    texts = [f"{name} {spread(found, digits=3)} s" for name, found in times.items()]
    print(
        f"| linear4, width {width}, 416 x 544 | {' | '.join(texts)} | {spread(faster, digits=1)}x |"
    )


def three_heads(repeats: int, crop: int) -> None:
    """One training step of all depth heads off one forward of ViT-S, and of each off its own."""
    vit = build_vit(Backbone(arch="vit_small", patch_size=14, image_size=224)).eval()
    mapper, knobs = quarter_blocks(vit, floor_patch=14), Depth(channels=64)
    heads = build_heads(mapper, knobs=knobs, max_depth=10, device="cpu")
    images, truth = torch.randn(2, 3, crop, crop), torch.rand(2, crop, crop) * 9 + 0.5

    def step(names: tuple[str, ...]) -> None:
        maps = patch_maps(mapper, images)
        for name in names:
            sized = F.interpolate(heads[name](maps)[:, None], size=truth.shape[1:], mode="bilinear")
            depth_loss(sized[:, 0], truth, only_mean=False).backward()

    together = [seconds(lambda: step(tuple(heads))) for _ in range(repeats)]
    apart = [sum(seconds(lambda n=name: step((n,))) for name in heads) for _ in range(repeats)]
    ratio = [b / a for a, b in zip(together, apart, strict=True)]
    sides = f"together {spread(together, digits=3)} s | apart {spread(apart, digits=3)} s"
    print(f"| three depth heads, ViT-S/14, 2 x {crop} px | {sides} | {spread(ratio, digits=2)}x |")


def main(repeats: int = 5, width: int = 1024, crop: int = 224) -> None:
    """Measure.

    Args:
        repeats: Turns of each measurement.
        width: D of the linear head's layers.
        crop: Side of the crops of the step of three heads, pixels.
    """
    torch.set_num_threads(1)
    print(f"commit {commit()}; {platform.machine()}, torch {torch.__version__}", flush=True)
    bins_head(repeats, width)
    three_heads(repeats, crop)


if __name__ == "__main__":
    tyro.cli(main)
