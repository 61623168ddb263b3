"""Self-distillation: a student and the moving average of it that teaches (arXiv 2304.07193, 4)."""

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sauropod.models.vit import VisionTransformer
from sauropod.train import health
from sauropod.train.batch import Batch
from sauropod.train.config import Objective
from sauropod.train.ema import update_ema
from sauropod.train.student import student_losses
from sauropod.train.teacher import Balances, Outputs, Targets, backbone_of, teach


class SelfDistillation(nn.Module):
    """Student and teacher with their heads; says losses, moves the average, knows no optimiser.

    Sub-modules: `student` (backbone, dino_head and, when separate, ibot_head) and `teacher`, the
    same by name: the moving average of the student, and what a run is for.
    """

    def __init__(
        self,
        student: nn.ModuleDict,
        *,
        objective: Objective,
        group: dist.ProcessGroup | None = None,
        max_bytes: int = 0,
    ) -> None:
        """Make the teacher as a copy of the student.

        Args:
            student: `backbone`, `dino_head` and perhaps `ibot_head` (see `make_student`).
            objective: Weights and temperatures of the losses.
            group: Ranks over which targets are balanced; None is this process alone.
            max_bytes: Scores of prototypes held at once, about; 0 means no limit.
        """
        super().__init__()
        self.objective, self.max_bytes = objective, max_bytes
        self.student = student
        self.teacher = frozen(copy.deepcopy(student))
        self.balances = Balances(student, objective, group=group, max_bytes=max_bytes)
        self.seen: Outputs | None = None

    @property
    def learners(self) -> Mapping[str, nn.Module]:
        """The student's parts; gradients of each are clipped by themselves."""
        return dict(self.student.items())

    @property
    def networks(self) -> list[nn.Module]:
        """Everything with parameters: what moves to a device and is sharded."""
        return [*self.student.values(), *self.teacher.values()]

    @property
    def backbones(self) -> Mapping[str, VisionTransformer]:
        """What a probe measures, by the name it adds to its columns: none."""
        return {"": backbone_of(self.teacher)}

    def teach(self, batches: Sequence[Batch], *, temperature: float) -> list[Targets]:
        """Targets of the parts of a step, balanced over all of them."""
        self.seen = None  # its memory first
        targets, self.seen = teach(
            self.teacher,
            batches,
            temperature=temperature,
            balances=self.balances,
            patches="masked" if self.objective.ibot_weight else "none",
        )
        return targets

    def compute_losses(
        self, batch: Batch, *, targets: Targets, generator: torch.Generator | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Weighted losses of one part of a step, once; see `student_losses`."""
        yield student_losses(
            self.student,
            batch,
            targets,
            objective=self.objective,
            masked=True,
            generator=generator,
            max_bytes=self.max_bytes,
        )

    def update_ema(self, *, momentum: float) -> None:
        """Move the teacher towards the student."""
        update_ema(self.teacher, source=self.student, momentum=momentum)

    def meters(self) -> dict[str, Tensor]:
        """Collapse meters of what the teacher said last."""
        if self.seen is None:
            return {}
        return health.meters(
            cls_features=self.seen.cls_tokens,
            patch_features=self.seen.patch_tokens,
            scores=self.seen.scores,
            temperature=self.seen.temperature,
        )

    def train(self, mode: bool = True) -> "SelfDistillation":
        """Set the student's mode; the teacher always evaluates."""
        super().train(mode)
        self.teacher.eval()
        return self


def frozen(modules: nn.ModuleDict) -> nn.ModuleDict:
    """The same modules, without gradients and in evaluation mode."""
    return modules.requires_grad_(requires_grad=False).eval()
