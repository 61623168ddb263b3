"""The two losses of the copy-detection descriptor (Pizzi et al. 2022, section 4.3).

Shapes: R rows = copies of a batch's images, D width. Rows with the same source match; everything
else is a negative. Always in fp32.
"""

import torch
from torch import Tensor


def info_nce(descriptors: Tensor, *, sources: Tensor, temperature: float) -> Tensor:
    """InfoNCE in which a row's other matches are not negatives of the one at hand.

    Per match (i, j): -log(exp(s_ij) / (exp(s_ij) + sum over non-matches k of exp(s_ik))) with
    s = inner product / temperature; the mean over the matches of each row, then over rows.

    Args:
        descriptors: (R, D), L2-normalised.
        sources: (R,) integer: which image a row is a copy of; every row needs a match.
        temperature: Divides the inner products; the paper's 0.05.

    Returns:
        Scalar float32, >= 0.
    """
    with torch.autocast(descriptors.device.type, enabled=False):
        unit = descriptors.float()
        similarity = unit @ unit.t() / temperature
        same = sources[:, None] == sources[None, :]
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        matches = same & ~itself
        others = similarity.masked_fill(same, -torch.inf).logsumexp(dim=1, keepdim=True)
        cost = torch.nn.functional.softplus(others - similarity)
        return (cost.where(matches, 0).sum(dim=1) / matches.sum(dim=1)).mean()


def entropy_loss(descriptors: Tensor, *, sources: Tensor) -> Tensor:
    """Minus the mean log distance to the nearest row of another source: spreads descriptors.

    The Kozachenko-Leonenko estimate of the differential entropy up to constants; unlike DINOv2's
    KoLeo it passes over matches, and the distance is sqrt(max(2 - 2 s, 1e-6)).

    Args:
        descriptors: (R, D), L2-normalised.
        sources: (R,) integer: which image a row is a copy of; two sources at least.

    Returns:
        Scalar float32, at least -log 2.
    """
    with torch.autocast(descriptors.device.type, enabled=False):
        unit = descriptors.float()
        same = sources[:, None] == sources[None, :]
        nearest = (unit @ unit.t()).masked_fill(same, -2).amax(dim=1)
        return -0.5 * (2 - 2 * nearest).clamp(min=1e-6).log().mean()
