"""iBOT loss: cross-entropy between masked patch tokens and the teacher's unmasked ones.

Shapes: M masked patches of the batch, K prototypes. Arxiv 2111.07832, equation 3; DINOv2 section 4.
"""

import torch
from torch import Tensor


def ibot_loss(
    student: Tensor,
    targets: Tensor,
    *,
    weights: Tensor,
    num_crops: int,
    temperature: float = 0.1,
) -> Tensor:
    """Mean over crops of the weighted sum over their masked patches.

    Args:
        student: (M, K) student scores of masked patches, any float type; M may be 0.
        targets: (M, K) teacher targets of the same patches; rows sum to 1.
        weights: (M,) float, one over the number of masked patches of the patch's crop.
        num_crops: Global crops in the batch, those without a mask included.
        temperature: Student temperature, > 0.

    Returns:
        Scalar float32.
    """
    with torch.autocast(student.device.type, enabled=False):
        scaled = student.float() / temperature
        loss = torch.logsumexp(scaled, dim=-1) - (scaled * targets).sum(dim=-1)
        return (loss * weights).sum() / num_crops
