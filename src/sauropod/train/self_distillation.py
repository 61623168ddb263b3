"""Self-distillation: student, teacher and the four losses of DINOv2 (arXiv 2304.07193, section 4).

Shapes: B images of this rank, L local crops per image, N patches of a global crop, D width,
K prototypes, M patches of the iBOT loss. Crops are crop-major (see `batch`).

The teacher is a moving average of the student, or frozen: a given, larger model in distillation
(section 5), where the student sees no masks, iBOT covers every patch of both global crops, and the
moving average of the student is a bystander that becomes the result.
"""

import copy
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sauropod.models.head import Head
from sauropod.models.vit import Features, VisionTransformer
from sauropod.train.batch import Batch
from sauropod.train.config import Objective
from sauropod.train.dino_loss import dino_loss
from sauropod.train.ema import update_ema
from sauropod.train.ibot_loss import ibot_loss
from sauropod.train.koleo_loss import koleo_loss
from sauropod.train.sinkhorn import Center, sinkhorn_knopp


class Targets(NamedTuple):
    """What the teacher says about a batch, ready for any number of students."""

    cls: Tensor
    """(2, B, K) float32, class-token targets of the two global crops."""
    patches: Tensor
    """(M, K') float32, targets of the patches at `indices`."""
    indices: Tensor
    """(M,) int64, positions in the flattened (2 * B * N) patches."""
    weights: Tensor
    """(M,) float32, weights of those patches in the iBOT loss."""


class SelfDistillation(nn.Module):
    """Student and teacher with their heads; says losses, moves averages, knows no optimiser.

    Sub-modules: `student` (backbone, dino_head and, when separate, ibot_head), `teacher` (the
    same names) and, when the teacher is frozen, `average`. The centres of softmax centering are
    buffers of this module.
    """

    def __init__(
        self,
        student: nn.ModuleDict,
        *,
        objective: Objective,
        teacher: nn.ModuleDict | None = None,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """Wire student and teacher.

        Args:
            student: `backbone`, `dino_head` and optionally `ibot_head` (see `make_student`).
            objective: Weights and temperatures of the losses.
            teacher: A frozen teacher with the same names and prototype counts (distillation);
                None makes the teacher a moving average that starts as a copy of the student.
            group: Ranks over which targets are balanced; None is this process alone.
        """
        super().__init__()
        self.objective, self.group = objective, group
        self.is_distillation = teacher is not None
        self.student = student
        self.teacher = _frozen(teacher if teacher is not None else copy.deepcopy(student))
        if teacher is not None:
            assert student.keys() == teacher.keys(), "student and teacher differ in heads"
            for kind in ("dino", "ibot"):
                sizes = {_head(modules, kind).num_prototypes for modules in (student, teacher)}
                assert len(sizes) == 1, f"{kind}_head: student and teacher differ in prototypes"
            self.average = _frozen(copy.deepcopy(student))
        if objective.centering == "softmax":
            self.dino_center = Center(_head(student, "dino").num_prototypes)
            self.ibot_center = Center(_head(student, "ibot").num_prototypes)

    @property
    def result(self) -> nn.ModuleDict:
        """The modules to save: the average of the student, whatever teaches it."""
        return self.average if self.is_distillation else self.teacher

    def update_ema(self, *, momentum: float) -> None:
        """Move `result` towards the student: momentum * result + (1 - momentum) * student."""
        update_ema(self.result, source=self.student, momentum=momentum)

    def train(self, mode: bool = True) -> "SelfDistillation":
        """Set the student's mode; teacher and average always evaluate."""
        super().train(mode)
        self.teacher.eval()
        if self.is_distillation:
            self.average.eval()
        return self

    def compute_losses(
        self,
        batch: Batch,
        *,
        teacher_temp: float,
        generator: torch.Generator | None = None,
        targets: Targets | None = None,
    ) -> dict[str, Tensor]:
        """Losses of one batch.

        Args:
            batch: Crops and masks on the model's device.
            teacher_temp: Temperature of the targets at this step.
            generator: Randomness of stochastic depth (training mode, drop_path > 0).
            targets: Targets computed before, for further students of one teacher.

        Returns:
            `dino_local` (absent without local crops), `dino_global`, `ibot`, `koleo`: scalar
            float32 tensors, already weighted; their sum is the loss to minimise.
        """
        if targets is None:
            targets = self.teacher_targets(batch, teacher_temp=teacher_temp)
        features = self._student_features(batch, generator)
        patches = features[0].patch_tokens.flatten(0, 1).index_select(0, targets.indices)
        cls_scores, patch_scores = _score(
            self.student, torch.cat([f.cls_token for f in features]), patches
        )
        losses = self._dino(cls_scores, targets, num_images=batch.num_images)
        losses["ibot"] = self.objective.ibot_weight * ibot_loss(
            patch_scores,
            targets.patches,
            weights=targets.weights,
            num_crops=2 * batch.num_images,
            temperature=self.objective.student_temp,
        )
        views = features[0].cls_token.chunk(2)
        koleo = torch.stack([koleo_loss(view) for view in views]).sum()
        losses["koleo"] = self.objective.koleo_weight * koleo
        return losses

    def _student_features(self, batch: Batch, generator: torch.Generator | None) -> list[Features]:
        """Features of the masked global crops and, when there are any, of the local ones."""
        crops = [batch.global_crops]
        masks: list[Tensor | None] = [None if self.is_distillation else batch.masks]
        if len(batch.local_crops):
            crops.append(batch.local_crops)
            masks.append(None)
        backbone = _backbone(self.student)
        return backbone.forward_features(crops, masks=masks, generator=generator)

    @torch.no_grad()
    def teacher_targets(self, batch: Batch, *, teacher_temp: float) -> Targets:
        """Run the teacher on the unmasked global crops and balance its scores into targets."""
        features = _backbone(self.teacher).forward_features([batch.global_crops])[0]
        indices, weights = self._patches_of_interest(batch, features.patch_tokens)
        patches = features.patch_tokens.flatten(0, 1).index_select(0, indices)
        cls_scores, patch_scores = _score(self.teacher, features.cls_token, patches)
        if self.objective.centering == "softmax":
            cls = self.dino_center(cls_scores, temperature=teacher_temp, group=self.group)
            patch = self.ibot_center(patch_scores, temperature=teacher_temp, group=self.group)
        else:
            cls = sinkhorn_knopp(cls_scores, temperature=teacher_temp, group=self.group)
            patch = sinkhorn_knopp(patch_scores, temperature=teacher_temp, group=self.group)
        return Targets(cls.unflatten(0, (2, -1)), patch, indices, weights)

    def _patches_of_interest(self, batch: Batch, patch_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and weights of iBOT's patches: the masked ones, or all in distillation."""
        if not self.is_distillation:
            return batch.mask_indices, batch.mask_weights
        num_crops, num_patches = patch_tokens.shape[:2]
        indices = torch.arange(num_crops * num_patches, device=patch_tokens.device)
        return indices, torch.full_like(indices, 1 / num_patches, dtype=torch.float32)

    def _dino(self, scores: Tensor, targets: Targets, *, num_images: int) -> dict[str, Tensor]:
        """DINO losses of ((2 + L) * B, K) scores, normalised by the number of crop pairs."""
        views, locals_ = scores.unflatten(0, (-1, num_images)).tensor_split([2])
        pairs = 2 + 2 * len(locals_)  # each view against the other; each local against both
        weight = self.objective.dino_weight / pairs
        temperature = self.objective.student_temp
        losses = {}
        if len(locals_):
            both = targets.cls.sum(dim=0)
            losses["dino_local"] = weight * dino_loss(locals_, both, temperature=temperature)
        # A view learns from the other one. The factor of the reference is 2 times the mean over
        # 2 * B rows, which is the sum over the two views of the mean over B.
        losses["dino_global"] = weight * sum(
            dino_loss(view[None], target, temperature=temperature)
            for view, target in zip(views, targets.cls.flip(0), strict=True)
        )
        return losses


def make_student(backbone: VisionTransformer, heads: nn.ModuleDict) -> nn.ModuleDict:
    """Bind a backbone and its heads under the names that `SelfDistillation` and the files use."""
    return nn.ModuleDict({"backbone": backbone, **dict(heads.items())})


def _frozen(modules: nn.ModuleDict) -> nn.ModuleDict:
    return modules.requires_grad_(requires_grad=False).eval()


def _backbone(modules: nn.ModuleDict) -> VisionTransformer:
    backbone = modules["backbone"]
    assert isinstance(backbone, VisionTransformer)
    return backbone


def _head(modules: nn.ModuleDict, kind: str) -> Head:
    """The head of a loss; without one of its own iBOT uses DINO's."""
    head = modules["ibot_head" if kind == "ibot" and "ibot_head" in modules else "dino_head"]
    assert isinstance(head, Head)
    return head


def _score(modules: nn.ModuleDict, cls: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of class tokens and of patches; a shared head sees both in one call."""
    dino_head, ibot_head = _head(modules, "dino"), _head(modules, "ibot")
    if dino_head is ibot_head:
        both = dino_head(torch.cat([cls, patches]))
        return both[: len(cls)], both[len(cls) :]
    return dino_head(cls), ibot_head(patches)
