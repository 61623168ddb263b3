"""KoLeo regulariser: the Kozachenko-Leonenko entropy estimate, spreading features of a batch.

Shapes: B images, G images of a group, D width. Arxiv 1806.03198; DINOv2 section 4. Always in fp32:
near duplicates, which the start of training is full of, underflow in fp16.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def koleo_loss(features: Tensor, *, group_size: int = 0, eps: float = 1e-8) -> Tensor:
    """-mean log of the distance to the nearest neighbour within the group.

    Args:
        features: (B, D), any float type; normalised here. One image alone has no neighbour and
            costs 0.
        group_size: G, a divisor of B: neighbours are looked for among G consecutive images; 0 is
            all of them.
        eps: Added inside the difference, the norm and the logarithm, as the reference does.

    Returns:
        Scalar float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        unit = F.normalize(features.float(), dim=-1, eps=eps)
        size = group_size or len(unit)
        if size < 2:
            return unit.sum() * 0
        groups = unit.unflatten(0, (-1, size))  # (B / G, G, D)
        with torch.no_grad():
            similarity = groups @ groups.mT
            similarity.diagonal(dim1=1, dim2=2).fill_(-2)
            nearest = similarity.argmax(dim=2, keepdim=True)  # (B / G, G, 1)
        neighbours = groups.gather(1, nearest.expand_as(groups)).flatten(0, 1)
        distance = F.pairwise_distance(unit, neighbours, p=2, eps=eps)
        return -torch.log(distance + eps).mean()
