"""Meters of collapse: what shows that a teacher says the same of every image, before the loss does.

Shapes: M rows (class tokens of one rank's batch), B and C crops, N patches, D width, b bottleneck,
K prototypes. Every function returns a scalar float32 tensor on the features' device; none waits
for the device except `feature_rank`, whose SVD checks its convergence there. For log steps only.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sauropod.models.head import Scores

CHUNK_BYTES = 32 << 20
"""Scores multiplied out at once, as float32."""


class Usage(NamedTuple):
    """How a batch uses the prototypes."""

    mean: Tensor
    """(K,) float32, mean of the rows' assignments; sums to one."""
    row_entropy: Tensor
    """Mean of the rows' own entropies, nats: log K where every row is uniform."""
    picked: Tensor
    """(K,) bool, whether some row prefers this prototype to all others."""
    num_rows: int


def prototype_usage(scores: Scores, *, temperature: float) -> Usage:
    """Assign every row by softmax(scores / temperature), a few rows at a time.

    Args:
        scores: Of M rows; at most CHUNK_BYTES of them are multiplied out at once.
        temperature: The teacher's.
    """
    device, num_rows = scores.features.device, len(scores.features)
    num_prototypes = len(scores.prototypes)
    total, entropy = torch.zeros(num_prototypes, device=device), torch.zeros((), device=device)
    picked = torch.zeros(num_prototypes, dtype=torch.bool, device=device)
    for rows in scores.features.split(max(1, CHUNK_BYTES // (4 * num_prototypes))):
        log_shares = Scores(rows, scores.prototypes).times(1 / temperature).log_softmax(dim=1)
        picked.index_fill_(0, log_shares.argmax(dim=1), value=True)
        shares = log_shares.exp()  # (m, K)
        total += shares.sum(dim=0)
        entropy -= shares.mul_(log_shares).sum()
    return Usage(total / num_rows, entropy / num_rows, picked, num_rows)


def prototype_entropy(usage: Usage) -> Tensor:
    """Entropy of the batch's mean assignment over log K: 1 all prototypes alike, 0 a single one.

    A batch of peaked rows reaches log M / log K at most.
    """
    mean = usage.mean
    return -torch.xlogy(mean, mean).sum() / math.log(len(mean))


def assignment_entropy(usage: Usage) -> Tensor:
    """Mean entropy of a row's own assignment over log K: 1 the teacher says nothing of any image.

    What tells images apart is the distance to `prototype_entropy`, never below this one: where the
    two are equal every image gets the same assignment, peaked or not.
    """
    return usage.row_entropy / math.log(len(usage.mean))


def dead_prototypes(usage: Usage) -> Tensor:
    """Share of prototypes that no row prefers, beyond those that M rows cannot reach.

    1 - picked / reachable, where M rows thrown at random on K prototypes reach
    K * (1 - (1 - 1/K)^M) of them: 0 for a use as wide as chance's (or wider), 1 - 1/reachable when
    all rows prefer the same. With M well above K this is the plain share of unused prototypes;
    with M well below K only strong concentration shows.
    """
    num_prototypes = len(usage.picked)
    assert num_prototypes > 1
    reachable = -num_prototypes * math.expm1(usage.num_rows * math.log1p(-1 / num_prototypes))
    return (1 - usage.picked.sum() / reachable).clamp(min=0)


def feature_rank(features: Tensor) -> Tensor:
    """RankMe (Garrido et al. 2023, arXiv 2210.02885): exp of the entropy of the singular values.

    Args:
        features: (M, D) class tokens, any float type.

    Returns:
        Between 1 (all rows parallel) and min(M, D).
    """
    with torch.autocast(features.device.type, enabled=False):
        # The decomposition refuses NaN, which a meter has to survive and to show.
        values = torch.linalg.svdvals(features.float().nan_to_num(0.0, 0.0, 0.0))
        values = values + 0 * features.float().sum()
    shares = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return torch.exp(-torch.xlogy(shares, shares).sum())


def spread(features: Tensor) -> Tensor:
    """Mean per-dimension deviation of L2-normalised features, times sqrt(D) (SimSiam, figure 2).

    Args:
        features: (..., M, D) any float type; the deviation is over M, the mean over the rest.

    Returns:
        Between 0 (all equal) and 1 (as spread as random directions).
    """
    unit = F.normalize(features.float(), dim=-1)
    return unit.std(dim=-2, correction=0).mean() * math.sqrt(features.shape[-1])


@torch.no_grad()
def meters(
    *, cls_features: Tensor, patch_features: Tensor, scores: Scores, temperature: float
) -> dict[str, Tensor]:
    """All meters of a teacher's forward pass, by column of the log.

    Args:
        cls_features: (B, D) class tokens of the global crops.
        patch_features: (C, N, D) patch tokens of some crops; their spread is within a crop, where
            dense features die first.
        scores: DINO scores of the class tokens.
        temperature: Of the targets.
    """
    assert patch_features.ndim == 3
    usage = prototype_usage(scores, temperature=temperature)
    return {
        "health/prototype_entropy": prototype_entropy(usage),
        "health/assignment_entropy": assignment_entropy(usage),
        "health/dead_prototypes": dead_prototypes(usage),
        "health/feature_rank": feature_rank(cls_features),
        "health/cls_std": spread(cls_features),
        "health/patch_std": spread(patch_features),
    }
