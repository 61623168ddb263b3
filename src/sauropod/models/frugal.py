"""Linear maps that keep less for backward.

Shapes: T rows, D and E widths. Autograd keeps what enters a linear map, (T, D), and what leaves it,
(T, E), when a learnt factor per channel follows (LayerScale). Here neither is kept. What enters is
computed again, which is cheap after a norm, an activation or a concatenation. What leaves is needed
for gamma's gradient alone, and that follows from the weight's: with G and g the gradients of weight
and bias as if gamma were 1, it is the sum over columns of W * G, plus b * g. The four linear maps
of a transformer block then keep 10 numbers per row and channel instead of 19.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts


def frugal_linear(
    before: Callable[..., Tensor], *inputs: Tensor, linear: nn.Linear, gamma: Tensor | None = None
) -> Tensor:
    """gamma * linear(before(*inputs)), keeping nothing but `inputs` and parameters for backward.

    Args:
        before: Cheap, deterministic, differentiable; every parameter it reads is among `inputs`.
        *inputs: What `before` takes, floating point.
        linear: Weight (E, D) and bias (E,).
        gamma: (E,) factor per channel, or None.

    Returns:
        (T, E). Under autocast in its type, or in gamma's where there is a gamma.
    """
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return _FrugalLinear.apply(before, linear.weight, linear.bias, gamma, *inputs)
    if torch.is_grad_enabled():  # compilers do not look into a backward, but know this
        out = checkpoint(
            lambda *args: linear(before(*args)),
            *inputs,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=_products_stay,
        )
    else:
        out = linear(before(*inputs))
    return out if gamma is None else out * gamma


def _products_stay() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Matrix products are not computed again."""
    return create_selective_checkpoint_contexts(
        [torch.ops.aten.addmm.default, torch.ops.aten.mm.default]
    )


class _FrugalLinear(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,  # noqa: ANN401 - autograd's context has no public type
        before: Callable[..., Tensor],
        weight: Tensor,
        bias: Tensor,
        gamma: Tensor | None,
        *inputs: Tensor,
    ) -> Tensor:
        """Compute as usual; keep the inputs of `before`."""
        out = F.linear(before(*inputs), weight, bias)
        ctx.before, ctx.dtype = before, out.dtype
        ctx.save_for_backward(weight, bias, gamma, *inputs)
        if gamma is None:
            return out
        return out.mul_(gamma) if out.dtype == gamma.dtype else out * gamma

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401  # pyright: ignore
        """Compute `before` again, then the usual gradients."""
        weight, bias, gamma, *inputs = ctx.saved_tensors
        with torch.enable_grad():
            inputs = [x.detach().requires_grad_() for x in inputs]
            hidden = ctx.before(*inputs)
        rows = grad.to(ctx.dtype)
        weight_grad = rows.t() @ hidden.detach().to(ctx.dtype)
        bias_grad = rows.sum(dim=0)
        gamma_grad = None
        if gamma is not None:
            gamma_grad = (weight * weight_grad).sum(dim=1) + bias * bias_grad
            weight_grad, bias_grad = gamma[:, None] * weight_grad, gamma * bias_grad
            rows = (gamma * grad).to(ctx.dtype)
        hidden_grad = (rows @ weight.to(ctx.dtype)).to(hidden.dtype)
        return (
            None,
            weight_grad,
            bias_grad,
            gamma_grad,
            *torch.autograd.grad(hidden, inputs, hidden_grad),
        )
