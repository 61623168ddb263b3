"""Logistic regression on frozen features: L-BFGS in float64 over a grid of penalties (section 7.1).

The loss is scikit-learn's: the sum of the cross-entropies times C, plus half the squared norm of
the weights; biases are free. Where images may have several classes, every class is a binary
regression of its own, and all of them are solved as one.

Shapes: n images, m of them at once, D width, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 65_536
GRADIENT = 1e-10
HISTORY = 10


@dataclass(frozen=True)
class Logistic:
    """A fitted regression: weight (K, D) and bias (K,), float64."""

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Class scores float64 (n, K), before the softmax, on the CPU."""
        parts = features.split(CHUNK)
        weight, bias = self.weight, self.bias
        return torch.cat([(x.to(weight) @ weight.T + bias).cpu() for x in parts])


def _loss(weight: Tensor, bias: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropies, and its slope by the scores (m, K)."""
    scores = torch.addmm(bias, x, weight.T)
    if y.ndim == 2:
        target = y.to(scores)
        loss = F.binary_cross_entropy_with_logits(scores, target, reduction="sum")
        return loss, scores.sigmoid() - target
    slope = scores.softmax(dim=1)
    slope[torch.arange(len(y), device=y.device), y] -= 1.0
    return F.cross_entropy(scores, y, reduction="sum"), slope


def _objective(
    features: Tensor, targets: Tensor, weight: Tensor, bias: Tensor, strength: float
) -> Callable[[], float]:
    """Loss per image, with the gradients put beside the parameters."""
    count = len(features)
    parts = list(zip(features.split(CHUNK), targets.split(CHUNK), strict=True))

    def closure() -> float:
        assert weight.grad is not None
        assert bias.grad is not None
        torch.mul(weight, 1.0 / (strength * count), out=weight.grad)
        bias.grad.zero_()
        total = weight.square().sum() / (2.0 * strength * count)
        for x, y in parts:
            double = x.to(weight)
            loss, slope = _loss(weight, bias, double, y.to(weight.device))
            total += loss / count
            weight.grad.addmm_(slope.T, double, alpha=1.0 / count)
            bias.grad.add_(slope.sum(0), alpha=1.0 / count)
        return total.item()

    return closure


@torch.no_grad()
def fit(
    features: Tensor,
    *,
    targets: Tensor,
    num_classes: int,
    strength: float,
    max_iterations: int = 1000,
    device: str = "cpu",
    start: Logistic | None = None,
) -> Logistic:
    """Minimise the penalised cross-entropy.

    Args:
        features: (n, D), any float type; float64 is made of it chunk by chunk.
        targets: Class numbers int64 (n,), or bool (n, K).
        num_classes: K.
        strength: C, the inverse of the penalty.
        max_iterations: Of L-BFGS.
        device: Where it runs.
        start: Where it begins; None is zero.
    """
    shape = num_classes, features.shape[1]
    settings = {"dtype": torch.float64, "device": device}
    begin = start or Logistic(torch.zeros(shape, **settings), torch.zeros(num_classes, **settings))
    weight, bias = begin.weight.clone(), begin.bias.clone()
    weight.grad, bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        tolerance_grad=GRADIENT,
        tolerance_change=0.0,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )
    solver.step(_objective(features, targets, weight, bias, strength))  # type: ignore[arg-type]
    return Logistic(weight.detach(), bias.detach())


def strengths(*, low: float, high: float, count: int) -> list[float]:
    """C from 10^low to 10^high, evenly spaced by their powers."""
    return torch.logspace(low, high, count, dtype=torch.float64).tolist()


def held_out(count: int, *, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Places of the images to fit on and of those, a share drawn by the seed, to choose C on."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    tuning = max(1, round(share * count))
    return order[tuning:].sort().values, order[:tuning].sort().values


def search(
    features: Tensor,
    *,
    targets: Tensor,
    num_classes: int,
    grid: Sequence[float],
    worth: Callable[[Tensor, Tensor], float],
    share: float,
    seed: int,
    max_iterations: int = 1000,
    device: str = "cpu",
) -> tuple[Logistic, float]:
    """Choose C on a held-out share of the training images, then fit on all of them.

    Args:
        features: (n, D).
        targets: int64 (n,) or bool (n, K).
        num_classes: K.
        grid: Values of C, ascending: each begins where the one before ended.
        worth: What class scores are worth, given the targets; the first best C is taken.
        share: Of the training images that is held out.
        seed: Of that draw.
        max_iterations: Of L-BFGS, per value of C.
        device: Where it runs.

    Returns:
        The regression on all images, and its C.
    """
    fitting, tuning = held_out(len(features), share=share, seed=seed)
    settings = {"num_classes": num_classes, "max_iterations": max_iterations, "device": device}
    kept, known = features[fitting], targets[fitting]
    found, best, chosen = None, -torch.inf, grid[0]
    for strength in grid:
        found = fit(kept, targets=known, strength=strength, start=found, **settings)
        value = worth(found.scores(features[tuning]), targets[tuning])
        if value > best:
            best, chosen = value, strength
    return fit(features, targets=targets, strength=chosen, **settings), chosen
