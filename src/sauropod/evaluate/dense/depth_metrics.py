"""Errors of predicted depth, as Eigen et al. 2014 defined them and the depth toolbox counts them.

Every metric is taken per image over its counted pixels and averaged over images. Shapes: H, W
height and width of a map; depths in metres, 0 in the truth where nothing was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

MIN_DEPTH = 1e-3
"""Smallest depth that counts, metres."""

Area = Literal["whole", "nyu", "garg", "eigen"]
"""Part of an image that counts: all, NYU's frame, KITTI's by Garg et al. 2016 or Eigen et al."""

# Top, bottom, left, right as shares of the sides (KITTI).
_SHARES = {
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
METRICS = ("rmse", "abs_rel", "sq_rel", "log10", "rmse_log", "silog", "delta1", "delta2", "delta3")


def counted(truth: np.ndarray, *, max_depth: float, area: Area) -> np.ndarray:
    """Pixels that count: measured, between the limits (both excluded), inside the area.

    Args:
        truth: (H, W) metres.
        max_depth: Greatest depth, metres.
        area: `nyu` is rows 45 to 470 and columns 41 to 600, whatever the size.

    Returns:
        (H, W) bool.
    """
    inside = np.zeros(truth.shape, dtype=bool)
    if area == "whole":
        inside[:] = True
    elif area == "nyu":
        inside[45:471, 41:601] = True
    else:
        height, width = truth.shape
        top, bottom, left, right = _SHARES[area]
        rows = slice(int(top * height), int(bottom * height))
        inside[rows, int(left * width) : int(right * width)] = True
    return inside & (truth > MIN_DEPTH) & (truth < max_depth)


def errors(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compare depths of one image, all of them counted.

    Args:
        predicted: (P,) metres, above 0.
        truth: (P,) metres, above 0, P > 0.

    Returns:
        `rmse` and `sq_rel` (metres), `abs_rel`, `rmse_log` (natural), `log10` (mean absolute),
        `silog` (100 x the deviation of the log error), `delta1` to `delta3`: shares of pixels off
        by less than 1.25, 1.25^2, 1.25^3.
    """
    p, t = predicted.astype(np.float64), truth.astype(np.float64)
    off = np.log(p) - np.log(t)
    ratio = np.maximum(p / t, t / p)
    found = {
        "rmse": np.sqrt(np.mean((p - t) ** 2)),
        "abs_rel": np.mean(np.abs(p - t) / t),
        "sq_rel": np.mean((p - t) ** 2 / t),
        "log10": np.mean(np.abs(off)) / np.log(10),
        "rmse_log": np.sqrt(np.mean(off**2)),
        "silog": 100 * np.std(off),
    }
    found |= {f"delta{k}": np.mean(ratio < 1.25**k) for k in (1, 2, 3)}
    return {name: float(value) for name, value in found.items()}


def mean_errors(per_image: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average every metric over images."""
    return {name: float(np.mean([found[name] for found in per_image])) for name in METRICS}
