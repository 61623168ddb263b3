"""How prototypes are balanced: Sinkhorn-Knopp (arXiv 2006.09882) or a moving centre (2104.14294).

Shapes: M rows (class tokens or masked patches) of a step on this rank, in one or several parts; K
prototypes. Everything is fp32, autocast or not, and nothing carries a gradient.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sauropod.models.head import Scores

_TINY = torch.finfo(torch.float32).tiny
_LOWEST = torch.finfo(torch.float32).min
_COLUMNS = 16_384


@torch.no_grad()
def sinkhorn_knopp(
    scores: Scores,
    *,
    temperature: float,
    num_iterations: int = 3,
    group: dist.ProcessGroup | None = None,
    max_bytes: int = 0,
) -> Tensor:
    """Bias with which softmax(scores / temperature + bias) uses all prototypes about equally.

    The algorithm scales the columns of exp(scores / temperature) to equal sums, then its rows, and
    so on, and ends with the rows. A row scaling of exp(scores / temperature) * exp(bias) is a
    softmax, so a column factor is all there is to remember, and in the logarithm nothing overflows.
    Scores are multiplied out once when they fit, else once per round.

    Args:
        scores: Teacher's scores of this rank, (M, K); M may differ between ranks and may be 0.
        temperature: Of the teacher, > 0.
        num_iterations: Rounds; the paper's 3.
        group: Ranks that share one balancing; None is this process alone.
        max_bytes: Scores held at once; 0 means no limit.

    Returns:
        (K,) float32, up to a constant that softmax ignores.
    """
    with torch.autocast(scores.features.device.type, enabled=False):
        chunks, scale = list(scores.chunks(max_bytes)), 1 / temperature
        whole = chunks[0].times(scale) if len(chunks) == 1 else None

        # In the first round rows still have their own scale, hence a logarithm of sums.
        bias = torch.full_like(scores.prototypes[:, 0], _LOWEST, dtype=torch.float32)
        for chunk in chunks:
            logits = chunk.times(scale) if whole is None else whole
            bias = torch.logaddexp(bias, _column_logsumexp(logits))
        bias = -_all_logsumexp(bias, group)

        # Then no row and no column vanishes beside its largest entry, and products with vectors do.
        powers = None if whole is None else _powers(whole.add_(bias))
        factor = torch.ones_like(bias)  # per prototype, beyond the bias
        for _ in range(num_iterations - 1):
            usage = torch.zeros_like(bias)
            for chunk in chunks:
                q = _powers(chunk.times(scale, plus=bias)) if powers is None else powers
                usage += q.t() @ (1 / (q @ factor))
            # A prototype that no row scores at all keeps a finite factor, hence targets of 0.
            factor = 1 / _all_reduce(usage, group, dist.ReduceOp.SUM).clamp_min(_TINY)
        return bias + factor.log()


def _powers(logits: Tensor) -> Tensor:
    """exp(logits), each row up to a factor: its largest entry is 1. Overwrites the logits."""
    return logits.sub_(logits.amax(dim=1, keepdim=True)).exp_()


def _column_logsumexp(logits: Tensor) -> Tensor:
    """(M, K) -> (K,), some columns at a time; very low without rows."""
    if not len(logits):
        return logits.new_full(logits.shape[1:], _LOWEST)
    return torch.cat([torch.logsumexp(part, dim=0) for part in logits.split(_COLUMNS, dim=1)])


def _all_logsumexp(values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Logarithm of the sum of exp(values) over all ranks, elementwise."""
    if group is None:
        return values
    top = _all_reduce(values.clone(), group, dist.ReduceOp.MAX)
    return top + _all_reduce((values - top).exp(), group, dist.ReduceOp.SUM).log()


def _all_reduce(
    value: Tensor, group: dist.ProcessGroup | None, op: dist.ReduceOp.RedOpType
) -> Tensor:
    if group is not None:
        dist.all_reduce(value, op=op, group=group)
    return value


class Center(nn.Module):
    """Moving average of the teacher's scores; softmax centering subtracts it."""

    center: Tensor

    def __init__(self, num_prototypes: int, *, momentum: float = 0.9) -> None:
        """Start with a centre of zero; `momentum` is the share of the old centre that stays."""
        super().__init__()
        self.momentum = momentum
        self.register_buffer("center", torch.zeros(1, num_prototypes))

    @torch.no_grad()
    def forward(
        self, scores: Scores, *, temperature: float, group: dist.ProcessGroup | None = None
    ) -> Tensor:
        """Bias of these scores, (K,) float32; the centre then moves towards their mean.

        Args:
            scores: Teacher's scores of this rank, (M, K); M may be 0.
            temperature: Of the teacher, > 0.
            group: Ranks whose rows are averaged; None is this process alone.
        """
        with torch.autocast(scores.features.device.type, enabled=False):
            bias = self.center[0] / -temperature
            # The mean of the scores is the score of the mean.
            features = scores.features.float().sum(dim=0)  # (b,)
            rows = torch.full_like(features[:1], len(scores.features))
            packed = _all_reduce(torch.cat([features, rows]), group, dist.ReduceOp.SUM)
            mean = scores.prototypes.float() @ (packed[:-1] / packed[-1].clamp_min(1))
            # Without any row, in no rank, there is nothing to learn: the centre stays.
            step = (1 - self.momentum) * (packed[-1] > 0)
            # Nor does the centre follow a step that is skipped because it is not finite.
            mean = torch.where(mean.isfinite(), mean, self.center[0])
            self.center.lerp_(mean[None], step.to(mean.dtype))
            return bias
