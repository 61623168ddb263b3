"""Linear probes on frozen features, the whole grid of heads at once (DINOv2 section 7.1).

A head is a learning rate x how many last blocks' CLS tokens are concatenated x whether the mean
patch token is appended. Heads that read the same features share one matrix product; the gradient
of the softmax cross-entropy is written out, so that no autograd graph is kept and every step is
deterministic. Differs from the reference in one thing: features are cached once from the
evaluation crop, the reference draws a random crop and flip at every step.

Shapes: N images, B batch, D width of a head's features, C classes, L learning rates.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from sauropod.evaluate.accuracy import accuracy
from sauropod.evaluate.features import Features
from sauropod.progress import track

INIT_STD = 0.01
MOMENTUM = 0.9


@dataclass(frozen=True)
class Head:
    """One cell of the grid, with its validation accuracies (0..1)."""

    learning_rate: float
    num_blocks: int
    avgpool: bool
    top1: float
    top5: float


@dataclass(frozen=True)
class Recipe:
    """How heads are trained: SGD with momentum, no weight decay, learning rate cosine to 0.

    `learning_rates` are per 256 images: they are multiplied by batch_size / 256.
    """

    learning_rates: tuple[float, ...]
    num_blocks: tuple[int, ...]
    steps: int
    batch_size: int


def head_features(features: Features, *, num_blocks: int, avgpool: bool) -> torch.Tensor:
    """Concatenate the last blocks' CLS tokens [and the mean patch token]: float32 (N, D)."""
    parts = [features.cls[:, -num_blocks:].flatten(1)]
    if avgpool:
        parts.append(features.patch_mean)
    return torch.cat(parts, dim=1).float()


def batches(num_images: int, *, batch_size: int, steps: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield `steps` index tensors (B,) from an endless series of permutations keyed by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(left) < batch_size:
            left = torch.cat([left, torch.randperm(num_images, generator=generator)])
        batch, left = left[:batch_size], left[batch_size:]
        yield batch


def train_heads(
    inputs: torch.Tensor,
    *,
    labels: torch.Tensor,
    num_classes: int,
    recipe: Recipe,
    seed: int,
    label: str = "linear",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Train one head per learning rate on the same features, in the same batches.

    Args:
        inputs: Features (N, D), float32, on the device to train on.
        labels: Class numbers, int64 (N,).
        num_classes: C.
        recipe: Grid and schedule.
        seed: Keys the initial weights and the batch order.
        label: Word for the progress line.

    Returns:
        Weights (L, C, D) and biases (L, C).
    """
    device, width, num_heads = inputs.device, inputs.shape[1], len(recipe.learning_rates)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(num_heads, num_classes, width, generator=generator).to(device) * INIT_STD
    bias = torch.zeros(num_heads, num_classes, device=device)
    rates = torch.tensor(recipe.learning_rates, device=device) * (recipe.batch_size / 256)
    velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    order = batches(len(inputs), batch_size=recipe.batch_size, steps=recipe.steps, seed=seed)
    for step, index in enumerate(track(order, total=recipe.steps, label=label, unit="steps")):
        batch = index.to(device)
        x, y = inputs[batch], labels[batch]  # (B, D), (B,)
        logits = (x @ weight.flatten(0, 1).T).unflatten(1, (num_heads, num_classes)) + bias
        slope = logits.softmax(dim=2)  # (B, L, C); minus one-hot = d loss / d logits
        slope[torch.arange(len(batch), device=device), :, y] -= 1.0
        slope /= len(batch)
        gradient = (slope.flatten(1).T @ x).unflatten(0, (num_heads, num_classes)), slope.sum(0)
        now = rates * (0.5 * (1.0 + math.cos(math.pi * step / recipe.steps)))
        for parameter, momentum, slope_sum in zip((weight, bias), velocity, gradient, strict=True):
            momentum.mul_(MOMENTUM).add_(slope_sum)
            parameter.sub_(momentum * now.view(-1, *[1] * (parameter.ndim - 1)))
    return weight, bias


def probe(
    train: Features, *, val: Features, num_classes: int, recipe: Recipe, seed: int, device: str
) -> list[Head]:
    """Train the whole grid and measure every head on the validation split.

    Returns:
        Heads in grid order. The number that is reported is the best of them on validation data, as
        is common practice and as the reference does.
    """
    labels, heads = train.labels.to(device), []
    for num_blocks in recipe.num_blocks:
        for avgpool in (False, True):
            inputs = head_features(train, num_blocks=num_blocks, avgpool=avgpool).to(device)
            tests = head_features(val, num_blocks=num_blocks, avgpool=avgpool).to(device)
            word = f"linear, {num_blocks} blocks{' + patches' if avgpool else ''}"
            weight, bias = train_heads(
                inputs,
                labels=labels,
                num_classes=num_classes,
                recipe=recipe,
                seed=seed,
                label=word,
            )
            for rate, w, b in zip(recipe.learning_rates, weight, bias, strict=True):
                scores = (tests @ w.T + b).cpu()
                top1, top5 = (accuracy(scores, val.labels, top=top) for top in (1, 5))
                heads.append(Head(rate, num_blocks, avgpool, top1, top5))
    return heads


def best(heads: list[Head]) -> Head:
    """The head with the highest top-1 accuracy; the first in grid order among equals."""
    return max(heads, key=lambda head: head.top1)
