"""What class scores are worth: accuracies, and the 11-point average precision of PASCAL VOC 2007.

Shapes: n images, C classes.
"""

import numpy as np
import torch
from torch import Tensor

from sauropod.evaluate.datasets.dataset import Metric


def accuracy(scores: Tensor, labels: Tensor, *, top: int = 1) -> float:
    """Share (0..1) of rows whose label is among the `top` highest scores.

    A row with a score that is not finite counts as wrong. Of equal scores the lower class comes
    first, on any device.
    """
    return _hits(scores, labels, top=top).float().mean().item()


def _hits(scores: Tensor, labels: Tensor, *, top: int = 1) -> Tensor:
    own = scores.gather(1, labels[:, None])  # (n, 1)
    lower = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    before = ((scores > own) | ((scores == own) & lower)).sum(dim=1)
    return (before < top) & scores.isfinite().all(dim=1)


def mean_per_class(scores: Tensor, labels: Tensor) -> float:
    """Mean over the classes that the labels hold of the class's accuracy (0..1)."""
    hits = _hits(scores, labels).double()
    counts = torch.bincount(labels)
    right = torch.bincount(labels, weights=hits)
    present = counts > 0
    return (right[present] / counts[present]).mean().item()


def mean_ap(scores: Tensor, labels: Tensor) -> float:
    """Mean over classes of the average precision at 11 recalls, 0, 0.1 ... 1 (PASCAL VOC 2007).

    Images of equal score are one step of the curve, so that no order among them matters.

    Args:
        scores: (n, C).
        labels: int8 (n, C): 1 has the class, 0 has it not, -1 leaves the image out of the class.
            Classes that no image has are left out.
    """
    columns = zip(scores.T.double().numpy(), labels.T.numpy(), strict=True)
    return float(
        np.mean(
            [
                _eleven_points(given[told >= 0], told[told >= 0] > 0)
                for given, told in columns
                if (told > 0).any()
            ]
        )
    )


def any_of(scores: Tensor, labels: Tensor) -> float:
    """Share (0..1) of images whose best class is one of theirs.

    Args:
        scores: (n, C).
        labels: int8 (n, C).
    """
    best = scores.argmax(dim=1, keepdim=True)
    right = (labels.gather(1, best)[:, 0] > 0) & scores.isfinite().all(dim=1)
    return right.float().mean().item()


def _eleven_points(scores: np.ndarray, relevant: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # of its group of equal scores
    found = np.cumsum(relevant[order])[last]
    precision = found / (np.flatnonzero(last) + 1)
    recall = found / relevant.sum()
    steps = np.arange(11) / 10
    return float(np.mean([precision[recall >= r - 1e-12].max(initial=0.0) for r in steps]))


def score(scores: Tensor, labels: Tensor, *, metric: Metric) -> float:
    """The number (0..1) that a dataset is reported by."""
    match metric:
        case "top1":
            return accuracy(scores, labels)
        case "mean_per_class":
            return mean_per_class(scores, labels)
        case "mean_ap":
            return mean_ap(scores, labels)
        case "any_of":
            return any_of(scores, labels)


def measured_scores(scores: Tensor, labels: Tensor, *, metric: Metric) -> dict[str, float]:
    """That number by its name; beside top-1 also top-5 where there are more than five classes."""
    found = {metric: score(scores, labels, metric=metric)}
    if metric == "top1" and scores.shape[1] > 5:
        found["top5"] = accuracy(scores, labels, top=5)
    return found
