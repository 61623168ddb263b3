"""KoLeo regulariser: the Kozachenko-Leonenko entropy estimate, spreading features of a batch.

Shapes: B images, D width. Arxiv 1806.03198; DINOv2 section 4. Always in fp32: near duplicates,
which the start of training is full of, underflow in fp16.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def koleo_loss(features: Tensor, *, eps: float = 1e-8) -> Tensor:
    """-mean log of the distance to the nearest neighbour within the batch.

    Args:
        features: (B, D), any float type; normalised here. One image alone has no neighbour and
            costs 0.
        eps: Added inside the difference, the norm and the logarithm, as the reference does.

    Returns:
        Scalar float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        unit = F.normalize(features.float(), dim=-1, eps=eps)
        if len(unit) < 2:
            return unit.sum() * 0
        with torch.no_grad():
            similarity = unit @ unit.t()
            nearest = similarity.fill_diagonal_(-2).argmax(dim=1)
        distance = F.pairwise_distance(unit, unit[nearest], p=2, eps=eps)
        return -torch.log(distance + eps).mean()
