"""Cross-entropy between student scores and teacher assignments, some rows at a time.

Shapes: S slots (what a row is compared with: an image, a crop, a masked patch), C student rows and
V teacher rows per slot, K prototypes, b width of the bottleneck.

The plain formula keeps half a dozen (rows, K) float32 tensors for backward: at K = 131,072 they
outweigh a ViT-L. Here every chunk of slots is multiplied out, turned into its loss and its
gradients, and forgotten, as in Liger's fused cross-entropy (arXiv 2410.10989).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sauropod.models.head import Scores, rows_within
from sauropod.train.assignments import Assignments

_TINY = torch.finfo(torch.float32).tiny


def prototype_loss(
    student: Scores,
    targets: Assignments,
    *,
    weights: Tensor,
    temperature: float,
    max_bytes: int = 0,
) -> Tensor:
    """Sum over slots s of weights[s] * sum over its student rows c and teacher rows v of CE(v, c).

    Cross-entropy is linear in the targets, so the V teacher rows of a slot are added up first.

    Args:
        student: C * S rows; row c * S + s belongs to slot s.
        targets: V * S rows; row v * S + s belongs to slot s.
        weights: (S,) float32.
        temperature: Of the student, > 0.
        max_bytes: Scores held at once, about; 0 means no limit.

    Returns:
        Scalar float32.
    """
    num_slots = len(weights)
    assert len(student.features) % max(num_slots, 1) == 0, "student rows do not fill the slots"
    assert len(targets.scores.features) % max(num_slots, 1) == 0, "teacher rows do not fill them"
    loss: Any = _ChunkedLoss.apply(
        student.features, student.prototypes, targets, weights, temperature, max_bytes
    )
    return loss


class _ChunkedLoss(torch.autograd.Function):
    """Loss and gradients in one pass over the chunks; backward only scales the gradients."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's own type is private
        features: Tensor,
        prototypes: Tensor,
        targets: Assignments,
        weights: Tensor,
        temperature: float,
        max_bytes: int,
    ) -> Tensor:
        d_features, d_prototypes = torch.empty_like(features), None
        # Gradients are kept relative to the largest weight: in fp16 the true ones would vanish.
        scale = torch.cat([weights, weights.new_full((1,), _TINY)]).amax()
        loss = weights.new_zeros(())
        rows = rows_within(max_bytes, num_prototypes=len(prototypes))
        chunks = _chunks(features, d_features, targets.scores.features, weights / scale, rows)
        with torch.autocast(features.device.type, enabled=False):
            for x, d_x, y, w in chunks:
                student = Scores(x.flatten(0, 1), prototypes)
                teacher = Scores(y.flatten(0, 1), targets.scores.prototypes)
                part, gradient = _chunk_loss(
                    student, targets._replace(scores=teacher), weights=w, temperature=temperature
                )
                loss += part
                if any(ctx.needs_input_grad):
                    gradient = gradient.to(x.dtype)
                    d_x.copy_((gradient @ prototypes).view_as(x) * w[:, None])
                    weighted = (x * w[:, None]).to(x.dtype).flatten(0, 1)
                    d_prototypes = _add_product(d_prototypes, gradient, weighted)
        if d_prototypes is None:
            d_prototypes = torch.zeros_like(prototypes)
        ctx.save_for_backward(d_features, d_prototypes.to(prototypes.dtype), scale / temperature)
        return loss * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        d_features, d_prototypes, scale = ctx.saved_tensors
        return d_features * (scale * d_loss), d_prototypes.mul_(scale * d_loss), *[None] * 4


def _add_product(total: Tensor | None, gradient: Tensor, x: Tensor) -> Tensor:
    """total + gradient' x, (K, b); float32 as soon as there are two to add."""
    if total is None:
        return gradient.t() @ x
    if x.dtype == torch.float32:
        return total.addmm_(gradient.t(), x)
    return total.float().add_(gradient.t() @ x)


def _chunks(
    features: Tensor, d_features: Tensor, targets: Tensor, weights: Tensor, max_rows: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Views of consecutive slots: student (C, s, b), its gradient, teacher (V, s, b), weights (s,).

    As many slots as have at most `max_rows` student and teacher rows.
    """
    num_slots = len(weights)
    if not num_slots:
        return
    x, d_x, y = (t.unflatten(0, (-1, num_slots)) for t in (features, d_features, targets))
    size = min(max(max_rows // (len(x) + len(y)), 1), num_slots)
    parts = (x.split(size, 1), d_x.split(size, 1), y.split(size, 1), weights.split(size))
    yield from zip(*parts, strict=True)


def _chunk_loss(
    student: Scores, targets: Assignments, *, weights: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Loss of some slots, and (C * s, K) float32, its gradient by the student's logits
    (scores / temperature) but for the slots' weights.
    """
    num_slots = len(weights)
    teacher = targets.probabilities().unflatten(0, (-1, num_slots))  # (V, s, K)
    num_targets = len(teacher)
    target = teacher[0] if num_targets == 1 else teacher.sum(dim=0)
    logits = student.times(1 / temperature).unflatten(0, (-1, num_slots))  # (C, s, K)
    agreement = torch.einsum("csk,sk->s", logits, target)
    top = logits.amax(dim=-1, keepdim=True)  # (C, s, 1)
    powers = logits.sub_(top).exp_()
    total = powers.sum(dim=-1, keepdim=True)
    log_sum = (total.log() + top).sum(dim=(0, 2))  # (s,)
    loss = torch.dot(weights, num_targets * log_sum - agreement)
    gradient = powers.mul_(num_targets / total).sub_(target)
    return loss, gradient.flatten(0, 1)
