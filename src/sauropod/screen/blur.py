"""Blur faces in the pixels that are kept, with edges that fade.

Geometry after Yang et al., "A Study of Face Obfuscation in ImageNet", ICML 2022: every box grown by
a tenth of its longer side, Gaussian blur of a tenth of the longer side, the mask blurred with the
same Gaussian. Here each box is blurred by itself, so a large face does not smear a small one and
memory is that of the box.

Shapes: H x W image, N boxes (left, top, width, height in pixels).
"""

import cv2
import numpy as np


def blur_boxes(pixels: np.ndarray, boxes: np.ndarray, *, grow: float, sigma: float) -> np.ndarray:
    """Blur boxes of an image.

    Args:
        pixels: uint8 RGB (H, W, 3); not changed.
        boxes: float (N, 4 or more): left, top, width, height in pixels, then anything.
        grow: Every side moves out by this times the box's longer side.
        sigma: Standard deviation of the Gaussian over the box's longer side.

    Returns:
        uint8 RGB (H, W, 3). Inside a box itself the original no longer shows; around the grown box
        it fades in; further away than 3 standard deviations nothing changes.
    """
    out = pixels.copy()
    for left, top, width, height in np.asarray(boxes, dtype=np.float64)[:, :4]:
        _blur_one(out, left, top, width, height, grow=grow, sigma=sigma)
    return out


def _blur_one(
    out: np.ndarray,
    left: float,
    top: float,
    width: float,
    height: float,
    *,
    grow: float,
    sigma: float,
) -> None:
    rows, columns = out.shape[:2]
    side = max(width, height)
    spread = max(sigma * side, 0.5)
    margin = int(np.ceil(3 * spread))
    x0, x1 = _span(left - grow * side, left + width + grow * side, columns)
    y0, y1 = _span(top - grow * side, top + height + grow * side, rows)
    if x0 >= x1 or y0 >= y1:
        return
    # Region: the grown box and the reach of the Gaussian around it.
    rx0, ry0 = max(0, x0 - margin), max(0, y0 - margin)
    rx1, ry1 = min(columns, x1 + margin), min(rows, y1 + margin)
    region = out[ry0:ry1, rx0:rx1].astype(np.float32)
    mask = np.zeros(region.shape[:2], np.float32)
    mask[y0 - ry0 : y1 - ry0, x0 - rx0 : x1 - rx0] = 1
    blurred = _gaussian(region, spread, margin)
    # Twice the blurred mask, cut at one: half way down at the edge of the grown box would leave a
    # quarter of a small box's rim visible, so the fade starts at that edge and goes outwards.
    weight = np.minimum(1, 2 * _gaussian(mask, spread, margin))[..., None]
    mixed = region + weight * (blurred - region)
    out[ry0:ry1, rx0:rx1] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _span(first: float, last: float, limit: int) -> tuple[int, int]:
    return max(0, int(np.floor(first))), min(limit, int(np.ceil(last)))


def _gaussian(values: np.ndarray, spread: float, margin: int) -> np.ndarray:
    size = 2 * margin + 1
    return cv2.GaussianBlur(
        values, (size, size), spread, sigmaY=spread, borderType=cv2.BORDER_REPLICATE
    )
