"""What the teacher says about a step: balanced targets for class tokens and patches.

Shapes: B images of one part of the step, N patches of a global crop, D width, K prototypes, M
patches of the iBOT loss. A step comes in one or several parts (gradient accumulation); targets are
balanced over all parts of all ranks, so that their number does not matter.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sauropod.models.head import Head, Scores
from sauropod.models.vit import VisionTransformer
from sauropod.train.assignments import Assignments
from sauropod.train.batch import Batch
from sauropod.train.config import Objective
from sauropod.train.sinkhorn import Center, sinkhorn_knopp

_METERED_CROPS = 4


class Targets(NamedTuple):
    """The teacher's targets of one part, for any number of students."""

    cls: Assignments
    """2 * B rows, class tokens of the global crops."""
    patches: Assignments
    """M rows, the patches at `indices`."""
    indices: Tensor
    """(M,) int64, positions in the flattened (2 * B * N) patches."""
    weights: Tensor
    """(M,) float32, weights of those patches in the iBOT loss."""


class Outputs(NamedTuple):
    """What a teacher's forward pass leaves for the meters of a step."""

    cls_tokens: Tensor
    """(2 * B, D)."""
    patch_tokens: Tensor
    """(C, N, D), of a few crops of the last part."""
    scores: Scores
    """2 * B rows, of the class tokens."""
    temperature: float


class Balance(nn.Module):
    """How the scores of one head become targets; holds the centre when there is one."""

    def __init__(
        self,
        centering: Literal["sinkhorn_knopp", "softmax"],
        *,
        num_prototypes: int,
        group: dist.ProcessGroup | None,
        max_bytes: int,
    ) -> None:
        """Keep the method, the ranks to balance over, and the bytes of scores to hold at once."""
        super().__init__()
        self.center = Center(num_prototypes) if centering == "softmax" else None
        self.group, self.max_bytes = group, max_bytes

    def forward(self, scores: Scores, *, temperature: float) -> Tensor:
        """(K,) bias of the assignments of these scores."""
        if self.center is not None:
            return self.center(scores, temperature=temperature, group=self.group)
        # The student has kept nothing yet, and scores at hand need not be multiplied out again.
        max_bytes = 4 * self.max_bytes
        return sinkhorn_knopp(
            scores, temperature=temperature, group=self.group, max_bytes=max_bytes
        )


class Balances(nn.Module):
    """The balance of every loss's head."""

    def __init__(
        self,
        teacher: nn.ModuleDict,
        objective: Objective,
        *,
        group: dist.ProcessGroup | None,
        max_bytes: int,
    ) -> None:
        """Make both; see `Balance`."""
        super().__init__()

        def balance(kind: Literal["dino", "ibot"]) -> Balance:
            num_prototypes = head_of(teacher, kind).num_prototypes
            return Balance(
                objective.centering,
                num_prototypes=num_prototypes,
                group=group,
                max_bytes=max_bytes,
            )

        self.dino, self.ibot = balance("dino"), balance("ibot")


@torch.no_grad()
def teach(
    teacher: nn.ModuleDict,
    batches: Sequence[Batch],
    *,
    temperature: float,
    balances: Balances,
    patches: Literal["masked", "all", "none"],
) -> tuple[list[Targets], Outputs]:
    """Run the teacher on the unmasked global crops of every part and balance all its scores.

    Args:
        teacher: `backbone`, `dino_head` and perhaps `ibot_head`.
        batches: Parts of the step.
        temperature: Of the teacher.
        balances: Of the DINO scores and of the iBOT scores.
        patches: Which patches iBOT compares: masked ones, all (distillation), or none.
    """
    assert len(batches)
    cls, kept, found = [], [], []
    for batch in batches:
        where = _patches_of_interest(batch, patches)
        metered = torch.arange(batch.masks[:_METERED_CROPS].numel(), device=where[0].device)
        (tokens,), chosen = backbone_of(teacher).forward_tokens(
            [batch.global_crops], patches=torch.cat([where[0], metered])
        )
        few = chosen[len(where[0]) :].unflatten(0, (-1, batch.masks.shape[1]))
        cls.append(tokens)
        kept.append(chosen[: len(where[0])])
        found.append(where)
    cls_scores, patch_scores = score(teacher, torch.cat(cls), torch.cat(kept))
    cls_bias = balances.dino(cls_scores, temperature=temperature)
    patch_bias = balances.ibot(patch_scores, temperature=temperature)
    targets = [
        Targets(
            Assignments(ours, cls_bias, temperature),
            Assignments(theirs, patch_bias, temperature),
            *where,
        )
        for ours, theirs, where in zip(
            cls_scores.split([len(x) for x in cls]),
            patch_scores.split([len(x) for x in kept]),
            found,
            strict=True,
        )
    ]
    return targets, Outputs(torch.cat(cls), few.clone(), cls_scores, temperature)


def _patches_of_interest(
    batch: Batch, patches: Literal["masked", "all", "none"]
) -> tuple[Tensor, Tensor]:
    """Positions and weights of iBOT's patches."""
    if patches == "masked":
        return batch.mask_indices, batch.mask_weights
    num_patches = batch.masks.shape[1]
    num = batch.masks.numel() if patches == "all" else 0
    indices = torch.arange(num, device=batch.masks.device)
    return indices, torch.full_like(indices, 1 / num_patches, dtype=torch.float32)


def backbone_of(modules: nn.ModuleDict) -> VisionTransformer:
    """The backbone of a student or teacher."""
    backbone = modules["backbone"]
    assert isinstance(backbone, VisionTransformer)
    return backbone


def head_of(modules: nn.ModuleDict, kind: Literal["dino", "ibot"]) -> Head:
    """The head of a loss; without one of its own iBOT uses DINO's."""
    head = modules["ibot_head" if kind == "ibot" and "ibot_head" in modules else "dino_head"]
    assert isinstance(head, Head)
    return head


def score(modules: nn.ModuleDict, cls: Tensor, patches: Tensor) -> tuple[Scores, Scores]:
    """Scores of class tokens and of patches; a shared head sees both in one call."""
    dino_head, ibot_head = head_of(modules, "dino"), head_of(modules, "ibot")
    if dino_head is ibot_head:
        both = dino_head(torch.cat([cls, patches])).split([len(cls), len(patches)])
        return both[0], both[1]
    return dino_head(cls), ibot_head(patches)
