"""DINO loss: class tokens of student crops against teacher targets of the two global crops.

Shapes: B images, L local crops, K prototypes; crops are crop-major (see `batch`). Arxiv 2104.14294,
equation 2; DINOv2 section 4.
"""

from torch import Tensor

from sauropod.models.head import Scores
from sauropod.train.assignments import Assignments
from sauropod.train.prototype_loss import prototype_loss


def dino_loss(
    student: Scores,
    targets: Assignments,
    *,
    num_images: int,
    temperature: float = 0.1,
    max_bytes: int = 0,
) -> dict[str, Tensor]:
    """Mean over crop pairs and images of -<targets, log softmax(student / temperature)>.

    A global crop learns from the other one, a local crop from both: 2 + 2 * L pairs.

    Args:
        student: (2 + L) * B rows.
        targets: 2 * B rows.
        num_images: B.
        temperature: Of the student, > 0.
        max_bytes: Scores held at once, about; 0 means no limit.

    Returns:
        `dino_local` (absent without local crops) and `dino_global`, scalars float32.
    """
    views, locals_ = student.split([2 * num_images, len(student.features) - 2 * num_images])
    num_local = len(locals_.features) // num_images
    shared = {"temperature": temperature, "max_bytes": max_bytes}
    pair = targets.bias.new_full((2 * num_images,), 1 / ((2 + 2 * num_local) * num_images))
    losses = {}
    if num_local:
        losses["dino_local"] = prototype_loss(locals_, targets, weights=pair[:num_images], **shared)
    # The factor of the reference is 2 times the mean over 2 * B rows: the sum of two means over B.
    losses["dino_global"] = prototype_loss(
        views, targets.rolled(num_images), weights=pair, **shared
    )
    return losses
