"""The plates `visualise` writes: components, matches, attention.

Shapes: h x w patches of a picture, N = h * w, H heads.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from sauropod.visualise import paint
from sauropod.visualise.matching import matched
from sauropod.visualise.pca import colours
from sauropod.visualise.seen import Seen

HEADS = 6
"""Heads in a row."""


def pca_plate(pictures: Sequence[Seen], masks: Sequence[Tensor]) -> Image.Image:
    """Pictures above, their foreground's components as colours below."""
    painted = colours(pictures, masks)
    below = [
        paint.enlarged(patches, one.image.size)
        for patches, one in zip(painted, pictures, strict=True)
    ]
    return paint.plate([[one.image for one in pictures], below])


def matches_plate(
    pictures: Sequence[Seen], masks: Sequence[Tensor], *, radius: float, most: int, patch: int
) -> Image.Image:
    """The first picture beside each of the others, a line between patches that match.

    Args:
        pictures: Two or more.
        masks: Foreground patches of each, bool (N,).
        radius: Of non-maximum suppression, patches.
        most: Lines per pair at most.
        patch: Side of a patch, pixels.
    """
    rows = []
    for other, mask in zip(pictures[1:], masks[1:], strict=True):
        found = matched((pictures[0], other), (masks[0], mask), radius=radius, most=most)
        rows.append([paint.joined(pictures[0].image, other.image, found, patch=patch)])
    return paint.plate(rows)


def attention_plate(pictures: Sequence[Seen], *, mass: float) -> Image.Image:
    """A picture, and beside it the attention of its class token head by head, at half the size.

    Args:
        pictures: One or more.
        mass: Share of a head's attention that is shown; its weakest rest stays cold.
    """
    rows = []
    for one in pictures:
        small = one.image.reduce(2)
        blank = Image.new("RGB", small.size, paint.PAPER)
        heads = [strongest(head, mass=mass).reshape(one.grid) for head in one.attention.numpy()]
        maps = [paint.enlarged(paint.heat(head), small.size) for head in heads]
        rows += [
            [blank if first else small, *maps[first : first + HEADS]]
            for first in range(0, len(maps), HEADS)
        ]
    return paint.plate(rows)


def strongest(attention: np.ndarray, *, mass: float) -> np.ndarray:
    """Attention (N,) relative to its largest; 0 where it is not of the strongest `mass` of it."""
    order = np.argsort(-attention, kind="stable")
    before = np.cumsum(attention[order]) - attention[order]
    kept = np.zeros(len(attention), dtype=bool)
    kept[order[before < mass * attention.sum()]] = True
    return np.where(kept, attention / attention.max(), 0.0)
