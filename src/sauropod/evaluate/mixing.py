"""Mixup and CutMix of a batch and its targets, as DeiT III fine-tunes (and timm mixes).

Zhang et al. 2018, "mixup"; Yun et al. 2019, "CutMix". Every image is mixed with the one at the
mirrored place of the batch, all by one share: either blended, or a square of one pasted into the
other.

Shapes: B images per batch, S their side, C classes.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sauropod.train.sscd_mix import box


def soft_targets(labels: Tensor, *, num_classes: int, smoothing: float) -> Tensor:
    """Class numbers (B,) -> probabilities (B, C): `smoothing` of them spread over all classes."""
    return (1 - smoothing) * F.one_hot(labels, num_classes).float() + smoothing / num_classes


def mixed(
    pixels: Tensor, targets: Tensor, rng: np.random.Generator, *, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Mix a batch by mixup or CutMix, one of both at random where both are asked for.

    Args:
        pixels: Float (B, 3, S, S); not changed.
        targets: Float (B, C).
        rng: Keyed generator of the step.
        mixup: Alpha of mixup's law Beta(alpha, alpha) of the share kept; 0 never blends.
        cutmix: The same of CutMix; 0 never cuts.

    Returns:
        Pixels and targets of the same shapes; the same ones where both alphas are 0.
    """
    cuts = rng.random() < 0.5 if mixup and cutmix else bool(cutmix)
    alpha = cutmix if cuts else mixup
    if not alpha:
        return pixels, targets
    kept = rng.beta(alpha, alpha)
    if cuts:
        side = pixels.shape[-1]
        rows, columns = box(rng.integers(side, size=2), side=side, kept=kept)
        out = pixels.clone()
        out[..., rows, columns] = pixels.flip(0)[..., rows, columns]
        # What leaves the image is not cut out.
        kept = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / side**2
    else:
        out = torch.lerp(pixels.flip(0), pixels, kept)
    return out, torch.lerp(targets.flip(0), targets, kept)
