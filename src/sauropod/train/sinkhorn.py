"""Teacher scores into targets: Sinkhorn-Knopp (arXiv 2006.09882) or softmax with a moving centre.

Shapes: B rows (class tokens or masked patches) on this rank, K prototypes. Everything is fp32,
autocast or not; targets carry no gradient.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

_TINY = torch.finfo(torch.float32).tiny


@torch.no_grad()
def sinkhorn_knopp(
    logits: Tensor,
    *,
    temperature: float,
    num_iterations: int = 3,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """Balance exp(logits / temperature) so that rows sum to 1 and prototypes are used equally.

    The matrix is never rescaled: a prototype factor and a row factor carry the iterations, so each
    costs two matrix-vector products. Rows are shifted by their maximum first (their true scale
    lives in the row factor), so that no logit overflows and no row vanishes.

    Args:
        logits: (B, K) teacher scores of this rank; B may differ between ranks and may be 0.
        temperature: Teacher temperature, > 0.
        num_iterations: Rounds; the paper's 3.
        group: Ranks that share one balancing; None is this process alone.

    Returns:
        (B, K) float32; each row sums to 1.
    """
    with torch.autocast(logits.device.type, enabled=False):
        scaled = logits.float() / temperature
        row_max = scaled.amax(dim=1)  # (B,)
        q = torch.exp(scaled - row_max[:, None])
        top = _all_reduce(_max_or_lowest(row_max), group, dist.ReduceOp.MAX)
        num_rows = _all_reduce(row_max.new_tensor(float(len(q))), group, dist.ReduceOp.SUM)
        rows = torch.exp(row_max - top)  # row factor, (B,)
        prototypes = q.new_empty(q.shape[1])  # prototype factor, (K,)
        for _ in range(num_iterations):
            usage = _all_reduce(q.t() @ rows, group, dist.ReduceOp.SUM)
            # A prototype that no row scores at all keeps a finite factor, hence targets of 0.
            prototypes = 1 / (q.shape[1] * usage.clamp_min(_TINY))
            rows = 1 / (num_rows * (q @ prototypes).clamp_min(_TINY))
        return q * prototypes * (rows * num_rows)[:, None]


def _max_or_lowest(values: Tensor) -> Tensor:
    """The maximum of a possibly empty vector, as a scalar tensor."""
    lowest = values.new_full((1,), torch.finfo(values.dtype).min)
    return torch.cat([values, lowest]).amax()


def _all_reduce(
    value: Tensor, group: dist.ProcessGroup | None, op: dist.ReduceOp.RedOpType
) -> Tensor:
    if group is not None:
        dist.all_reduce(value, op=op, group=group)
    return value


class Center(nn.Module):
    """Softmax targets around a moving average of the teacher's scores (arXiv 2104.14294)."""

    center: Tensor

    def __init__(self, num_prototypes: int, *, momentum: float = 0.9) -> None:
        """Start with a centre of zero; `momentum` is the share of the old centre that stays."""
        super().__init__()
        self.momentum = momentum
        self.register_buffer("center", torch.zeros(1, num_prototypes))

    @torch.no_grad()
    def forward(
        self, logits: Tensor, *, temperature: float, group: dist.ProcessGroup | None = None
    ) -> Tensor:
        """Targets with the centre so far, then move the centre by the mean of these rows.

        Args:
            logits: (B, K) teacher scores of this rank; B may be 0.
            temperature: Teacher temperature, > 0.
            group: Ranks whose rows are averaged; None is this process alone.

        Returns:
            (B, K) float32; each row sums to 1.
        """
        logits = logits.float()
        targets = torch.softmax((logits - self.center) / temperature, dim=-1)
        total = _all_reduce(logits.sum(dim=0, keepdim=True), group, dist.ReduceOp.SUM)
        num_rows = _all_reduce(total.new_tensor(float(len(logits))), group, dist.ReduceOp.SUM)
        mean = total / num_rows.clamp_min(1)
        # Without any row, in no rank, there is nothing to learn: the centre stays.
        step = (1 - self.momentum) * (num_rows > 0)
        self.center.lerp_(mean, step.to(mean.dtype))
        return targets
