"""Soft assignments: what the teacher says, as probabilities over prototypes.

Shapes: M rows (class tokens or patches), K prototypes.

Sinkhorn-Knopp and softmax centering differ only in a number per prototype: in both the targets are
softmax(scores / temperature + bias). Rows are multiplied out when somebody asks for them; the
(M, K) matrix of a whole batch never exists.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from sauropod.models.head import Scores


class Assignments(NamedTuple):
    """Assignments of M rows to K prototypes; no gradient flows into them."""

    scores: Scores
    """The teacher's, M rows."""
    bias: Tensor
    """(K,) float32, what balances the prototypes."""
    temperature: float
    """Of the teacher, > 0."""

    def probabilities(self) -> Tensor:
        """Multiply out: (M, K) float32, rows sum to 1."""
        return torch.softmax(self.scores.times(1 / self.temperature, plus=self.bias), dim=-1)

    def rolled(self, shift: int) -> Self:
        """The same rows, `shift` places further on, the last ones first."""
        scores = Scores(self.scores.features.roll(shift, dims=0), self.scores.prototypes)
        return self._replace(scores=scores)
