"""iBOT loss: masked patch tokens of the student against the teacher's unmasked ones.

Shapes: M masked patches of the batch, K prototypes. Arxiv 2111.07832, equation 3; DINOv2 section 4.
"""

from torch import Tensor

from sauropod.models.head import Scores
from sauropod.train.assignments import Assignments
from sauropod.train.prototype_loss import prototype_loss


def ibot_loss(
    student: Scores,
    targets: Assignments,
    *,
    weights: Tensor,
    num_crops: int,
    temperature: float = 0.1,
    max_bytes: int = 0,
) -> Tensor:
    """Mean over crops of the weighted sum over their masked patches of the cross-entropy.

    Args:
        student: M rows; M may be 0.
        targets: M rows, of the same patches.
        weights: (M,) float32, one over the number of masked patches of the patch's crop.
        num_crops: Global crops in the batch, those without a mask included.
        temperature: Of the student, > 0.
        max_bytes: Scores held at once, about; 0 means no limit.

    Returns:
        Scalar float32.
    """
    return prototype_loss(
        student, targets, weights=weights / num_crops, temperature=temperature, max_bytes=max_bytes
    )
