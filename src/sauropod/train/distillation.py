"""Distillation: a frozen, larger teacher and one or several students (arXiv 2304.07193, section 5).

The loop is that of pretraining, but students see no masks, iBOT compares every patch of both global
crops, and a moving average of each student, which teaches nobody, is the result. The teacher's
forward pass, most of the cost, is shared by all students.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sauropod.models.vit import VisionTransformer
from sauropod.train.batch import Batch
from sauropod.train.config import Objective
from sauropod.train.ema import update_ema
from sauropod.train.self_distillation import frozen
from sauropod.train.student import student_losses
from sauropod.train.teacher import Balances, Targets, backbone_of, head_of, teach


class Distillation(nn.Module):
    """Students, their moving averages, and a teacher that never changes.

    Sub-modules: `students` and `averages`, by name, each with backbone and heads. The teacher is
    none, for it belongs into no checkpoint.
    """

    def __init__(
        self,
        students: Mapping[str, nn.ModuleDict],
        *,
        teacher: nn.ModuleDict,
        objective: Objective,
        group: dist.ProcessGroup | None = None,
        max_bytes: int = 0,
    ) -> None:
        """Bind students to a teacher.

        Args:
            students: Each with the names and prototype counts of the teacher's heads.
            teacher: `backbone`, `dino_head` and perhaps `ibot_head`.
            objective: Weights and temperatures of the losses.
            group: Ranks over which targets are balanced; None is this process alone.
            max_bytes: Scores of prototypes held at once, about; 0 means no limit.
        """
        super().__init__()
        for student in students.values():
            assert student.keys() == teacher.keys(), "student and teacher differ in heads"
            for kind in ("dino", "ibot"):
                sizes = {head_of(modules, kind).num_prototypes for modules in (student, teacher)}
                assert len(sizes) == 1, f"{kind}_head: student and teacher differ in prototypes"
        self.objective, self.max_bytes = objective, max_bytes
        self.students = nn.ModuleDict(students)
        self.averages = frozen(copy.deepcopy(self.students))
        self.balances = Balances(teacher, objective, group=group, max_bytes=max_bytes)
        self._teacher = (frozen(teacher),)  # a tuple hides it from state_dict

    @property
    def teacher(self) -> nn.ModuleDict:
        """The teacher's backbone and heads."""
        return self._teacher[0]

    @property
    def learners(self) -> Mapping[str, nn.Module]:
        """All students' parts; gradients of each are clipped by themselves."""
        return {
            f"{name}/{part}": module
            for name, student in self._items(self.students)
            for part, module in student.items()
        }

    @property
    def networks(self) -> list[nn.Module]:
        """Everything with parameters: what moves to a device and is sharded."""
        both = [*self._items(self.students), *self._items(self.averages)]
        modules = [self.teacher, *(student for _, student in both)]
        return [network for module in modules for network in module.values()]

    @property
    def backbones(self) -> Mapping[str, VisionTransformer]:
        """What a probe measures, by student."""
        return {f"{name}/": backbone_of(average) for name, average in self._items(self.averages)}

    def average(self, student: str) -> nn.ModuleDict:
        """What a run is for: the moving average of one student, with its heads."""
        return dict(self._items(self.averages))[student]

    def teach(self, batches: Sequence[Batch], *, temperature: float) -> list[Targets]:
        """Targets of the parts of a step, balanced over all of them."""
        targets, _ = teach(
            self.teacher,
            batches,
            temperature=temperature,
            balances=self.balances,
            patches="all" if self.objective.ibot_weight else "none",
        )
        return targets

    def compute_losses(
        self, batch: Batch, *, targets: Targets, generator: torch.Generator | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Weighted losses of one part of a step, as `<student>/<loss>`, student by student."""
        for name, student in self._items(self.students):
            losses = student_losses(
                student,
                batch,
                targets,
                objective=self.objective,
                masked=False,
                generator=generator,
                max_bytes=self.max_bytes,
            )
            yield {f"{name}/{loss}": value for loss, value in losses.items()}

    def meters(self) -> dict[str, Tensor]:
        """None: a frozen teacher cannot collapse."""
        return {}

    def update_ema(self, *, momentum: float) -> None:
        """Move every average towards its student."""
        update_ema(self.averages, source=self.students, momentum=momentum)

    def train(self, mode: bool = True) -> "Distillation":
        """Set the students' mode; teacher and averages always evaluate."""
        super().train(mode)
        self.averages.eval()
        return self

    @staticmethod
    def _items(modules: nn.ModuleDict) -> list[tuple[str, nn.ModuleDict]]:
        """Name and modules of every student."""
        return [(name, part) for name, part in modules.items() if isinstance(part, nn.ModuleDict)]
