"""What a student loses on a part of a step: the losses of DINOv2 (arXiv 2304.07193, section 4).

Shapes: B images of the part, L local crops per image, N patches of a global crop, D width, K
prototypes. Crops are crop-major (see `batch`).
"""

import torch
from torch import Tensor, nn

from sauropod.models.vit import VisionTransformer
from sauropod.train.batch import Batch
from sauropod.train.config import Objective
from sauropod.train.dino_loss import dino_loss
from sauropod.train.ibot_loss import ibot_loss
from sauropod.train.koleo_loss import koleo_loss
from sauropod.train.teacher import Targets, backbone_of, score


def make_student(backbone: VisionTransformer, heads: nn.ModuleDict) -> nn.ModuleDict:
    """Bind a backbone and its heads under the names that training and the files use."""
    return nn.ModuleDict({"backbone": backbone, **dict(heads.items())})


def student_losses(
    student: nn.ModuleDict,
    batch: Batch,
    targets: Targets,
    *,
    objective: Objective,
    masked: bool,
    generator: torch.Generator | None,
    max_bytes: int,
) -> dict[str, Tensor]:
    """Weighted losses of one student on one part of a step.

    Args:
        student: `backbone`, `dino_head` and perhaps `ibot_head`.
        batch: Crops and masks on the student's device.
        targets: What the teacher says about them.
        objective: Weights and temperatures.
        masked: Whether the student sees the masks (not in distillation).
        generator: Randomness of stochastic depth (training mode, drop_path > 0).
        max_bytes: Scores of prototypes held at once, about; 0 means no limit.

    Returns:
        `dino_local` (absent without local crops), `dino_global`, and those of `ibot` and `koleo`
        that have a weight: scalars float32, whose sum is the loss to minimise.
    """
    crops = [batch.global_crops, *([batch.local_crops] if len(batch.local_crops) else [])]
    masks = [batch.masks if masked else None, None][: len(crops)]
    cls_tokens, patches = backbone_of(student).forward_tokens(
        crops, patches=targets.indices, masks=masks, generator=generator
    )
    cls_scores, patch_scores = score(student, torch.cat(cls_tokens), patches)

    shared = {"temperature": objective.student_temp, "max_bytes": max_bytes}
    dino = dino_loss(cls_scores, targets.cls, num_images=batch.num_images, **shared)
    losses = {name: objective.dino_weight * loss for name, loss in dino.items()}
    if objective.ibot_weight:
        num_crops = len(batch.global_crops)
        losses["ibot"] = objective.ibot_weight * ibot_loss(
            patch_scores, targets.patches, weights=targets.weights, num_crops=num_crops, **shared
        )
    if objective.koleo_weight:
        size = objective.group_size
        views = [koleo_loss(x, group_size=size) for x in cls_tokens[0].chunk(2)]
        losses["koleo"] = objective.koleo_weight * torch.stack(views).sum()
    return losses
