"""Position embeddings for another grid of patches: bicubic, as two small matrix products.

Shapes: a table of side x side positions, D wide, becomes one of height x width. Bicubic
interpolation is linear in the table and works on rows and columns apart, so its weights need to be
found only once per size: by interpolating the identity.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_positions(
    table: Tensor, *, height: int, width: int, offset: float, antialias: bool
) -> Tensor:
    """Interpolate a square table of patch positions.

    Args:
        table: (side, side, D) floating point.
        height: Rows wanted.
        width: Columns wanted.
        offset: Added to height and width before they are divided by `side` to the scale factor
            (0.1 in the released models without registers); 0 resizes to the exact size.
        antialias: Widen the kernel when shrinking (released models with registers).

    Returns:
        (height, width, D), the dtype of `table`; differentiable in it.
    """
    side, dim = len(table), table.shape[-1]
    # A compiler must not find, let alone leave, its own tensors in a cache.
    weights = _weights.__wrapped__ if torch.compiler.is_compiling() else _weights
    rows, columns = (
        weights(size, side=side, offset=offset, antialias=antialias, device=table.device)
        for size in (height, width)
    )
    # Double precision: neither autocast nor TF32 touches it.
    tall = (rows @ table.double().flatten(1)).view(height, side, dim)
    return (columns @ tall).to(table.dtype)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # a cached tensor serves training, too
@torch.no_grad()
def _weights(
    size: int, *, side: int, offset: float, antialias: bool, device: torch.device
) -> Tensor:
    """(size, side) float64: how much of each old row a new one takes."""
    identity = torch.eye(side, device="cpu")
    new = F.interpolate(
        identity[None, None],  # an image whose columns stay
        size=None if offset else (size, side),
        scale_factor=((size + offset) / side, 1.0) if offset else None,
        mode="bicubic",
        antialias=antialias,
    )
    assert new.shape[2] == size, "the offset moved the size of the grid"
    return new[0, 0].double().to(device)
