"""Linear probes on frozen features, the whole grid of heads at once (DINOv2 section 7.1).

A head is a learning rate x how many last blocks' CLS tokens are concatenated x whether the mean
patch token is appended. All heads see the same batches: one pass of the frozen backbone, or one
read of its cached features, feeds all of them, and heads that read the same features share one
matrix product. The gradient of the cross-entropy is written out, so that no autograd graph is kept
and every step is deterministic.

Shapes: n images, B batch, L last blocks kept, D width of a token, F width of a head's features,
C classes, R learning rates.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sauropod.evaluate.features import Features
from sauropod.progress import track

INIT_STD = 0.01
MOMENTUM = 0.9


class Batch(NamedTuple):
    """What all heads see in a step: CLS tokens (B, L, D), mean patch tokens (B, D), targets.

    Targets are class numbers, int64 (B,), or float (B, C): 1 where an image has the class.
    """

    cls: Tensor
    patch_mean: Tensor
    targets: Tensor


class Read(NamedTuple):
    """What a head reads: CLS tokens of the last blocks [and the mean patch token]."""

    num_blocks: int
    avgpool: bool


@dataclass(frozen=True)
class Recipe:
    """How heads are trained: SGD with momentum, no weight decay, learning rate cosine to 0.

    `learning_rates` are per 256 images: they are multiplied by batch_size / 256.
    """

    learning_rates: tuple[float, ...]
    num_blocks: tuple[int, ...]
    steps: int
    batch_size: int

    @property
    def reads(self) -> list[Read]:
        """What the heads of the grid read, in its order."""
        return [Read(blocks, pool) for blocks in self.num_blocks for pool in (False, True)]


@dataclass(frozen=True)
class Head:
    """One trained cell of the grid: weight (C, F) and bias (C,), float32."""

    learning_rate: float
    reads: Read
    weight: Tensor
    bias: Tensor

    def scores(self, features: Features, *, chunk: int = 8192) -> Tensor:
        """Class scores of every image, float32 (n, C), on the CPU."""
        parts = zip(features.cls.split(chunk), features.patch_mean.split(chunk), strict=True)
        device = self.weight.device
        found = [gathered(*pair, reads=self.reads).to(device) for pair in parts]
        return torch.cat([(x @ self.weight.T + self.bias).cpu() for x in found])


def gathered(cls: Tensor, patch_mean: Tensor, *, reads: Read) -> Tensor:
    """Concatenate the last blocks' CLS tokens [and the mean patch token]: float32 (B, F)."""
    parts = [cls[:, -reads.num_blocks :].flatten(1)]
    if reads.avgpool:
        parts.append(patch_mean)
    return torch.cat(parts, dim=1).float()


def permutations(count: int, *, batch_size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield `steps` index tensors (B,) from an endless series of permutations keyed by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(left) < batch_size:
            left = torch.cat([left, torch.randperm(count, generator=generator)])
        batch, left = left[:batch_size], left[batch_size:]
        yield batch


def cached(features: Features, *, targets: Tensor, recipe: Recipe, seed: int) -> Iterator[Batch]:
    """Batches from features computed once of the evaluation crop.

    The reference draws a random crop and flip at every step instead, at the price of a pass of the
    backbone per step; whichever it is, the heads are trained by `fit`.

    Args:
        features: Of n images.
        targets: int64 (n,) or float (n, C).
        recipe: Steps and batch size.
        seed: Keys the order.
    """
    order = permutations(len(targets), batch_size=recipe.batch_size, steps=recipe.steps, seed=seed)
    for index in order:
        yield Batch(features.cls[index], features.patch_mean[index], targets[index])


def _slope(logits: Tensor, targets: Tensor) -> Tensor:
    """d loss / d logits of the cross-entropy, or of C binary ones, (B, R, C)."""
    if targets.ndim == 2:
        return (logits.sigmoid() - targets[:, None]) / (len(targets) * targets.shape[1])
    slope = logits.softmax(dim=2)
    slope[torch.arange(len(targets), device=logits.device), :, targets] -= 1.0
    return slope / len(targets)


class _Row:
    """The heads of all learning rates that read the same features."""

    def __init__(self, width: int, *, num_classes: int, rates: Tensor, seed: int) -> None:
        generator, device = torch.Generator().manual_seed(seed), rates.device
        shape = (len(rates), num_classes, width)
        self.weight = torch.randn(shape, generator=generator).to(device) * INIT_STD
        self.bias = torch.zeros(len(rates), num_classes, device=device)
        self._velocity = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        self._rates = rates

    def step(self, x: Tensor, targets: Tensor, *, decay: float) -> None:
        """One step of SGD on features (B, F) at a share of the learning rates."""
        rows, classes, width = self.weight.shape
        logits = torch.addmm(self.bias.flatten(), x, self.weight.view(-1, width).T)
        slope = _slope(logits.view(-1, rows, classes), targets)
        for momentum in self._velocity:
            momentum.mul_(MOMENTUM)
        self._velocity[0].view(-1, width).addmm_(slope.flatten(1).T, x)
        self._velocity[1].add_(slope.sum(0))
        rates = (self._rates * decay).view(-1, 1, 1)
        self.weight.addcmul_(self._velocity[0], -rates)
        self.bias.addcmul_(self._velocity[1], -rates[:, 0])


def fit(
    batches: Iterable[Batch],
    *,
    widths: tuple[int, int],
    num_classes: int,
    recipe: Recipe,
    seed: int,
    device: str = "cpu",
) -> list[Head]:
    """Train every head of the grid, side by side on the same batches.

    Args:
        batches: As many as the recipe has steps.
        widths: Of a CLS token and of a mean patch token (D and D; a floor may have none).
        num_classes: C.
        recipe: Grid and schedule.
        seed: Keys the initial weights.
        device: Where the heads are trained.

    Returns:
        Heads in grid order: by what they read, then by learning rate.
    """
    rates = torch.tensor(recipe.learning_rates, device=device) * (recipe.batch_size / 256)
    rows = {
        reads: _Row(
            widths[0] * reads.num_blocks + widths[1] * reads.avgpool,
            num_classes=num_classes,
            rates=rates,
            seed=seed,
        )
        for reads in recipe.reads
    }
    progress = track(batches, total=recipe.steps, label="linear", unit="steps")
    for step, batch in enumerate(progress):
        decay = 0.5 * (1.0 + math.cos(math.pi * step / recipe.steps))
        cls, patch_mean, targets = (part.to(device, non_blocking=True) for part in batch)
        for reads, row in rows.items():
            row.step(gathered(cls, patch_mean, reads=reads), targets, decay=decay)
    return [
        Head(rate, reads, row.weight[i], row.bias[i])
        for reads, row in rows.items()
        for i, rate in enumerate(recipe.learning_rates)
    ]


def best(scores: Sequence[float]) -> int:
    """Place of the highest score; the first among equals."""
    return max(range(len(scores)), key=scores.__getitem__)
