"""Measure the linear probe's whole grid, 52 heads at once, beside a single head of plain torch.

OMP_NUM_THREADS=1 python tests/bench/linear.py         # rows for RECORDS.md: median [min, max] of n

All train on the same frozen ViT-S/14: of every batch of 224-pixel crops one pass of the backbone
feeds all heads, as the paper's protocol with its random crops does. The rows of cached features
are the heads' part alone. The smallest grid of ours has two heads. Times are of the processor.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.evaluate.config import Evaluate
from sauropod.evaluate.linear import Batch, Recipe, fit
from sauropod.io import commit
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train.config import Backbone

CLASSES, SIDE = 1000, 224
Batches = Iterable[Batch]
Fit = Callable[[Batches, Recipe, int], None]


def batches(vit: VisionTransformer, *, size: int, steps: int, seed: int) -> Iterator[Batch]:
    """Features of random crops, each batch by a pass of the backbone."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        pixels = torch.randn(size, 3, SIDE, SIDE, generator=generator)
        with torch.no_grad():
            found = vit.get_intermediate_layers(pixels, layers=4)
            cls = torch.stack([block.cls_token for block in found], dim=1)
            mean = found[-1].patch_tokens.mean(dim=1)
        yield Batch(cls, mean, torch.randint(CLASSES, (size,), generator=generator))


def fit_one(made: Batches, recipe: Recipe, width: int) -> None:
    """One layer on the CLS token, by SGD: what a user would write."""
    head = nn.Linear(width, CLASSES)
    optimizer = torch.optim.SGD(head.parameters(), lr=recipe.learning_rates[0], momentum=0.9)
    for batch in made:
        optimizer.zero_grad()
        F.cross_entropy(head(batch.cls[:, -1]), batch.targets).backward()
        optimizer.step()


def fit_grid(made: Batches, recipe: Recipe, width: int) -> None:
    """All heads of a recipe."""
    fit(made, widths=(width, width), num_classes=CLASSES, recipe=recipe, seed=0)


def seconds(train: Fit, made: Batches, recipe: Recipe, width: int) -> float:
    """Processor time per step."""
    start = time.process_time()
    train(made, recipe, width)
    return (time.process_time() - start) / recipe.steps


def main() -> None:
    """Take turns and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="vit_small")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    print(f"commit {commit()}; torch {torch.__version__}", flush=True)
    vit = build_vit(Backbone(arch=flags.arch, patch_size=14, ffn="mlp", drop_path=0.0)).eval()
    rates = Evaluate().learning_rates
    smallest = Recipe(rates[:1], (1,), flags.steps, flags.batch_size)
    whole_grid = Recipe(rates, (1, 4), flags.steps, flags.batch_size)
    sides = {
        "1 head, plain torch": (fit_one, smallest),
        "2 heads": (fit_grid, smallest),
        "52 heads": (fit_grid, whole_grid),
    }
    kept = list(batches(vit, size=flags.batch_size, steps=flags.steps, seed=0))
    rows: dict[str, list[float]] = {}
    for _ in range(flags.repeats):
        for name, (train, recipe) in sides.items():
            made = batches(vit, size=flags.batch_size, steps=flags.steps, seed=0)
            whole, alone = (seconds(train, one, recipe, vit.embed_dim) for one in (made, kept))
            rows.setdefault(name, []).append(whole)
            rows.setdefault(f"{name}, features cached", []).append(alone)
    for name, values in rows.items():
        text = f"{statistics.median(values):.3f} s [{min(values):.3f}, {max(values):.3f}]"
        print(f"| step of {flags.batch_size} images, {flags.arch} | {name} | {text} |", flush=True)


if __name__ == "__main__":
    main()
