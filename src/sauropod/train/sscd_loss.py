"""The two losses of the copy-detection descriptor (Pizzi et al. 2022, section 4.3).

Shapes: R rows = copies of a batch's images, D width, K images that a row may hold. Rows with a
source in common match; everything else is a negative. Always in fp32.
"""

import torch
from torch import Tensor


def info_nce(descriptors: Tensor, *, sources: Tensor, temperature: float) -> Tensor:
    """InfoNCE in which a row's other matches are not negatives of the one at hand.

    Per match (i, j): -log(exp(s_ij) / (exp(s_ij) + sum over non-matches k of exp(s_ik))) with
    s = inner product / temperature; the mean over the matches of each row, then over rows.

    Args:
        descriptors: (R, D), L2-normalised.
        sources: (R, K) integer: which images a row holds, one of them repeated where it holds
            fewer; every row needs a match.
        temperature: Divides the inner products; the paper's 0.05.

    Returns:
        Scalar float32, >= 0.
    """
    with torch.autocast(descriptors.device.type, enabled=False):
        unit = descriptors.float()
        similarity = unit @ unit.t() / temperature
        same = _matches(sources)
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
        sources: (R, K) integer: which images a row holds; every row needs one it does not match.

    Returns:
        Scalar float32, at least -log 2.
    """
    with torch.autocast(descriptors.device.type, enabled=False):
        unit = descriptors.float()
        same = _matches(sources)
        nearest = (unit @ unit.t()).masked_fill(same, -2).amax(dim=1)
        return -0.5 * (2 - 2 * nearest).clamp(min=1e-6).log().mean()


def _matches(sources: Tensor) -> Tensor:
    """Which rows (R, K) have a source in common, each with itself too: (R, R) bool."""
    pairs = [(a, b) for a in sources.unbind(1) for b in sources.unbind(1)]
    found = pairs[0][0][:, None] == pairs[0][1]
    for a, b in pairs[1:]:
        found |= a[:, None] == b
    return found
