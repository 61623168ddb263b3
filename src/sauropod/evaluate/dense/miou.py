"""Agreement of predicted and true label maps, as mmsegmentation counts it.

One confusion matrix over all pixels of all images: IoU of a class = intersection / union, and the
mean leaves out classes that neither appear nor are predicted. Shapes: C classes.
"""

from typing import NamedTuple

import numpy as np

IGNORED = -1
"""Class number of pixels that do not count, whatever is predicted there."""


class Agreement(NamedTuple):
    """Shares, 0 to 1; NaN where no pixel counts."""

    miou: float
    """Mean IoU over the classes that appear or are predicted."""
    mean_accuracy: float
    """Mean recall over the classes that appear."""
    pixel_accuracy: float
    """Share of pixels that are right."""
    iou: np.ndarray
    """(C,) float64; NaN for a class with neither truth nor prediction."""


def confusion(predicted: np.ndarray, labels: np.ndarray, *, num_classes: int) -> np.ndarray:
    """Count pixels by true class (rows) and predicted class (columns).

    Args:
        predicted: Class numbers, any shape, 0 to C - 1.
        labels: Class numbers of the same shape, or `IGNORED`.
        num_classes: C.

    Returns:
        (C, C) int64.
    """
    counted = labels != IGNORED
    pairs = labels[counted].astype(np.int64) * num_classes + predicted[counted]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def agreement(matrix: np.ndarray) -> Agreement:
    """Score a confusion matrix (C, C) of counts; matrices of several images add up."""
    right, truth, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        iou = right / (truth + predicted - right)
        recall = right / truth
        pixels = float(right.sum() / matrix.sum())
    return Agreement(_mean(iou), _mean(recall), pixels, iou)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
