"""Principal components of patch tokens as foreground and as colours (DINOv2 section 7.5, figure 1).

Shapes: n patches of all pictures, N patches of one, h x w its grid, D width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sauropod.visualise.seen import Seen

COLOURS = 3
CLIPPED = 0.01
"""Share of the patches at either end of a component that get its darkest and brightest shade."""


def projected(tokens: Tensor, *, components: int) -> Tensor:
    """Coordinates of tokens along their first principal components.

    Args:
        tokens: (n, D).
        components: How many.

    Returns:
        float64 (n, components), centred; each axis points the way of its largest coordinate.
    """
    centred = tokens.double() - tokens.double().mean(dim=0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :components]  # (D, c)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return centred @ (axes * largest.sign())


def _is_border(grid: tuple[int, int]) -> Tensor:
    """Patches at the rim of a picture, bool (N,)."""
    inside = torch.zeros(grid, dtype=torch.bool)
    inside[1:-1, 1:-1] = True
    return ~inside.flatten()


def foregrounds(pictures: Sequence[Seen], *, threshold: float) -> list[Tensor]:
    """Patches of things, told from the background by the first component over all pictures.

    A component has no sign of its own: foreground is the side that has less of the rims.

    Args:
        pictures: A group that shows similar things.
        threshold: Where foreground begins, standard deviations from the mean of all patches.

    Returns:
        Per picture bool (N,).
    """
    first = projected(torch.cat([one.tokens for one in pictures]), components=1)[:, 0]
    rim = torch.cat([_is_border(one.grid) for one in pictures])
    if first[rim].mean() > first[~rim].mean():
        first = -first
    inside = first > threshold * first.std()
    return list(inside.split([len(one.tokens) for one in pictures]))


def colours(pictures: Sequence[Seen], masks: Sequence[Tensor]) -> list[np.ndarray]:
    """The foreground's first three components over the group, as red, green and blue.

    Args:
        pictures: The group.
        masks: Foreground patches of each, bool (N,); the rest stays black.

    Returns:
        Per picture uint8 (h, w, 3): parts that the backbone takes for the same have one colour.
    """
    mask = torch.cat(list(masks))
    painted = torch.zeros(len(mask), COLOURS, dtype=torch.float64)
    if int(mask.sum()) > COLOURS:
        tokens = torch.cat([one.tokens for one in pictures])[mask]
        values = projected(tokens, components=COLOURS)
        ends = torch.tensor([CLIPPED, 1 - CLIPPED], dtype=torch.float64)
        low, high = values.quantile(ends, dim=0)
        painted[mask] = ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    parts = (255 * painted).round().to(torch.uint8).split([len(one.tokens) for one in pictures])
    return [
        part.reshape(*one.grid, COLOURS).numpy() for part, one in zip(parts, pictures, strict=True)
    ]
