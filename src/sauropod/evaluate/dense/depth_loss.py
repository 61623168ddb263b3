"""Losses of the depth heads (AdaBins; MegaDepth), as DINOv2's depth protocol weighs them.

The reference's gradient loss slices batch and channel where it means rows and columns, so that
with two images per GPU it is zero; here it is what its formula says, per image.
Shapes: B images, H x W pixels; depths in metres, 0 in the truth where nothing was measured.
"""

import torch
from torch import Tensor

EPS = 1e-3
"""Added to every depth before its logarithm, metres."""
MEAN_WEIGHT = 0.15
GRADIENT_WEIGHT = 0.5
STRIDES = (1, 2, 4, 6)


def depth_loss(predicted: Tensor, truth: Tensor, *, only_mean: bool) -> Tensor:
    """SigLoss + half the gradient loss, a scalar.

    Args:
        predicted: (B, H, W), above 0.
        truth: (B, H, W), some of it above 0.
        only_mean: Leave the variance out of SigLoss, as in its first steps.
    """
    sigma = sig_loss(predicted, truth, only_mean=only_mean)
    return sigma + GRADIENT_WEIGHT * gradient_loss(predicted, truth)


def sig_loss(predicted: Tensor, truth: Tensor, *, only_mean: bool = False) -> Tensor:
    """Root of var(e) + 0.15 mean(e)^2 over measured pixels, e the difference of logarithms.

    The variance has Bessel's correction, as in the reference. Arguments as in `depth_loss`.
    """
    measured = truth > 0
    error = torch.log(predicted[measured] + EPS) - torch.log(truth[measured] + EPS)
    if error.numel() < 2:  # crops of sky alone: nothing to learn, and the variance is undefined
        return (predicted * 0).sum()
    mean = MEAN_WEIGHT * error.mean() ** 2
    # The root's slope is infinite at 0: a head that is exactly right would become NaN.
    return (mean if only_mean else mean + error.var()).clamp_min(1e-12).sqrt()


def gradient_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Sum over four resolutions of the mean absolute gradient of the log error.

    A gradient is the difference of pixels two apart, both of them measured; sums are divided by
    the number of measured pixels of the batch at that resolution. Arguments as in `depth_loss`.
    """
    total = predicted.new_zeros(())
    for stride in STRIDES:
        coarse, true = predicted[:, ::stride, ::stride], truth[:, ::stride, ::stride]
        measured = true > 0
        error = (torch.log(coarse + EPS) - torch.log(true + EPS)) * measured
        down = (error[:, :-2] - error[:, 2:]).abs() * (measured[:, :-2] & measured[:, 2:])
        across = (error[..., :-2] - error[..., 2:]).abs()
        across = across * (measured[..., :-2] & measured[..., 2:])
        total = total + (down.sum() + across.sum()) / measured.sum().clamp_min(1)
    return total
