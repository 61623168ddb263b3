"""DINO loss: cross-entropy between the class tokens of student crops and teacher targets.

Shapes: C student crops, B images, K prototypes. Arxiv 2104.14294, equation 2; DINOv2 section 4.
"""

import torch
from torch import Tensor


def dino_loss(student: Tensor, targets: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Sum over crops of the mean over images of -<targets, log softmax(student / temperature)>.

    Cross-entropy is linear in the targets, so the sum over several teacher crops is one call with
    their summed targets (rows then sum to the number of teacher crops).

    Args:
        student: (C, B, K) student scores, any float type.
        targets: (B, K) teacher targets, summed over teacher crops; no gradient flows there.
        temperature: Student temperature, > 0.

    Returns:
        Scalar float32, not divided by any number of crops.
    """
    with torch.autocast(student.device.type, enabled=False):
        scaled = student.float() / temperature
        mass = targets.sum(dim=-1)  # (B,)
        agreement = (scaled.sum(dim=0) * targets).sum(dim=-1)  # linear in the crops as well
        loss = mass * torch.logsumexp(scaled, dim=-1).sum(dim=0) - agreement
        return loss.mean()
