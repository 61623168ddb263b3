"""Top-1 and top-5 accuracy of class scores (M images, C classes)."""

import torch


def accuracy(scores: torch.Tensor, labels: torch.Tensor, *, top: int = 1) -> float:
    """Share (0..1) of rows whose label is among the `top` highest scores.

    A row with a score that is not finite counts as wrong. `top` is cut to the number of classes.
    """
    best = scores.topk(min(top, scores.shape[1]), dim=1).indices  # (M, top)
    hit = (best == labels[:, None]).any(dim=1) & scores.isfinite().all(dim=1)
    return hit.float().mean().item()
