"""Sliding windows, several scales and mirror images: how a segmentation head is tested.

Shapes: B windows, C classes, H x W pixels of the image as stored, S x T as resized.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sauropod.evaluate.dense.views import fitted_size, image_tensor, resized

Scorer = Callable[[Tensor], Tensor]
"""(B, 3, S, T) normalised -> class scores (B, C, S, T)."""


def starts(side: int, *, window: int, stride: int) -> list[int]:
    """Where windows begin along a side; the last one ends with it."""
    count = max(side - window + stride - 1, 0) // stride + 1
    return [max(min(i * stride + window, side) - window, 0) for i in range(count)]


def slide(score: Scorer, image: Tensor, *, window: int, stride: int, batch_size: int) -> Tensor:
    """Mean of the class scores of all windows over every pixel.

    Args:
        score: Scores windows.
        image: (3, S, T) normalised.
        window: Side of a window; larger than the image takes all of it.
        stride: Step.
        batch_size: Windows scored at once; changes speed only.

    Returns:
        (C, S, T).
    """
    rows, columns = (starts(side, window=window, stride=stride) for side in image.shape[1:])
    corners = [(top, left) for top in rows for left in columns]
    total, count = torch.zeros(()), torch.zeros(image.shape[1:], device=image.device)
    for at in range(0, len(corners), batch_size):
        part = corners[at : at + batch_size]
        crops = [image[:, top : top + window, left : left + window] for top, left in part]
        scores = score(torch.stack(crops))
        if not total.ndim:
            total = scores.new_zeros(scores.shape[1], *image.shape[1:])
        for (top, left), found in zip(part, scores, strict=True):
            total[:, top : top + window, left : left + window] += found
            count[top : top + window, left : left + window] += 1
    return total / count


@torch.inference_mode()
def probabilities(
    score: Scorer,
    image: np.ndarray,
    *,
    image_size: tuple[int, int],
    ratios: Sequence[float],
    flip: bool,
    window: int,
    stride: int,
    batch_size: int,
    device: str,
) -> Tensor:
    """Class probabilities of every pixel, averaged over scales and mirror images.

    The image is resized, slid over, and the mean scores are resized back before the softmax.

    Args:
        score: Scores windows on `device`.
        image: (H, W, 3) uint8.
        image_size: Long and short side to fit at ratio 1, pixels.
        ratios: Factors on `image_size`.
        flip: Whether to average over the mirrored image too.
        window: Side of the window, pixels.
        stride: Its step.
        batch_size: Windows scored at once; changes speed only.
        device: Where.

    Returns:
        (C, H, W) float32 on the device, summing to 1 over C.
    """
    height, width = image.shape[:2]
    total = torch.zeros((), device=device)
    for ratio in ratios:
        bounds = int(image_size[0] * ratio), int(image_size[1] * ratio)
        scaled = image_tensor(resized(image, fitted_size(height, width, bounds=bounds))).to(device)
        for mirrored in (False, True) if flip else (False,):
            seen = scaled.flip(2) if mirrored else scaled
            scores = slide(score, seen, window=window, stride=stride, batch_size=batch_size)
            found = _to_size(scores, (height, width)).softmax(dim=0)
            total = total + (found.flip(2) if mirrored else found)
    return total / (len(ratios) * (2 if flip else 1))


def _to_size(scores: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]
