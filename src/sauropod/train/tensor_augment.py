"""Multi-crop augmentation by tensor operations: what engine `tensor` does on the accelerator.

Workers decode and draw; the device cuts. All views of one size are made together: resizing and
blurring are products with banded matrices, one per view and axis, and colour jitter is four blends
with a hue turn in between. Every operation ends in whole levels as in Pillow, whose results are
reproduced to a level or so (`pillow` is the oracle in tests). Nothing waits for the device.

Shapes: C views of one size, S their side, H x W the largest box among them. Pixels are kept as
(C, rows, 3, columns), so that both matrix products need no transposition.
"""

import enum
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sauropod.train.augment import BLUR_TAPS, SOLARIZE_FROM, normalise
from sauropod.train.views import Jitter, View

_PIXELS_AT_ONCE = 1 << 24
"""Source pixels, of all boxes padded to the largest, that are worked on at once: bounds memory."""
_CUBIC = -0.5
"""Pillow's bicubic parameter."""
_LUMA = (19595, 38470, 7471)
"""Pillow's weights of the luma, in 65536ths."""
_STILL = Jitter(order=(0, 1, 2, 3), brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0)
_TO_BLACK, _TO_MEAN, _TO_LUMA = range(3)


class _Column(enum.IntEnum):
    """What a row of the table holds; blends take four columns, one per operation."""

    START = 0
    STRIDE = 1
    HEIGHT = 2
    WIDTH = 3
    FLIP = 4
    GRAY = 5
    SOLARIZE = 6
    SIGMA = 7
    TURN = 8
    FACTORS = 9
    TOWARDS = 13


_NUM_COLUMNS = 17


class Table(NamedTuple):
    """Views of one size, as numbers."""

    size: int
    """S, pixels."""
    extent: tuple[int, int]
    """Height and width of the largest box."""
    numbers: Tensor
    """(C, 17) float64, see `_Column`; whole numbers below 2^53 are exact."""
    turned: tuple[Tensor, ...]
    """Four (n,) int64: the views whose first, second, third, fourth operation turns the hue."""

    def to(self, device: torch.device) -> "Table":
        """The same on another device; from pinned memory the copy does not wait."""
        return self._replace(
            numbers=self.numbers.to(device, non_blocking=True),
            turned=tuple(views.to(device, non_blocking=True) for views in self.turned),
        )

    def pin_memory(self) -> "Table":
        """The same in pinned memory (the name PyTorch's data loader looks for)."""
        return self._replace(
            numbers=self.numbers.pin_memory(),
            turned=tuple(views.pin_memory() for views in self.turned),
        )


def flatten(images: Sequence[np.ndarray]) -> Tensor:
    """Images (H, W, 3) uint8 of any sizes, one after the other: (pixels, 3) uint8."""
    return torch.from_numpy(np.concatenate([image.reshape(-1, 3) for image in images]))


def tabulate(views: Sequence[Sequence[View]], *, images: Sequence[np.ndarray], size: int) -> Table:
    """Write views of one size as numbers.

    Args:
        views: For every crop of an image, in turn, the view of each image: crop-major.
        images: In the order in which `flatten` gets them.
        size: S.
    """
    firsts = np.cumsum([0, *(image.shape[0] * image.shape[1] for image in images)])
    numbers = np.empty((len(views) * len(images), _NUM_COLUMNS))
    turned: list[list[int]] = [[], [], [], []]
    for row, view in enumerate(itertools.chain.from_iterable(views)):
        left, top, right, bottom = view.box
        stride = images[row % len(images)].shape[1]
        start = firsts[row % len(images)] + top * stride + left
        place = (start, stride, bottom - top, right - left)
        flags = (view.flip, view.gray, view.solarize)
        numbers[row] = *place, *flags, view.blur_sigma, *_colour(view.jitter or _STILL)
        if view.jitter:
            turned[view.jitter.order.index(3)].append(row)
    sides = numbers[:, [_Column.HEIGHT, _Column.WIDTH]].max(axis=0, initial=1)
    return Table(
        size=size,
        extent=(int(sides[0]), int(sides[1])),
        numbers=torch.from_numpy(numbers),
        turned=tuple(torch.tensor(rows, dtype=torch.int64) for rows in turned),
    )


def _colour(jitter: Jitter) -> list[float]:
    """Levels of the hue's turn, then factors and aims of the four operations in their order."""
    factors = (jitter.brightness, jitter.contrast, jitter.saturation, 1.0)
    towards = (_TO_BLACK, _TO_MEAN, _TO_LUMA, _TO_BLACK)
    turn = int(jitter.hue * 255)  # towards zero, as torchvision
    return [turn, *(factors[i] for i in jitter.order), *(towards[i] for i in jitter.order)]


@torch.no_grad()
def cut(pixels: Tensor, table: Table) -> Tensor:
    """Make views of one size.

    Args:
        pixels: (P, 3) uint8, RGB, of all images.
        table: The views, on the same device.

    Returns:
        (C, 3, S, S) float32 of ImageNet mean 0 and deviation 1.
    """
    at_once = max(1, _PIXELS_AT_ONCE // (table.extent[0] * table.extent[1]))
    with torch.autocast(pixels.device.type, enabled=False):
        parts = [
            _resized(pixels, numbers, size=table.size, extent=table.extent)
            for numbers in table.numbers.split(at_once)
        ]
        crops = parts[0] if len(parts) == 1 else torch.cat(parts)
        crops = _coloured(crops, table)
        crops = _blurred(crops, table.numbers[:, _Column.SIGMA].float())
        solarize = _flags(table.numbers, _Column.SOLARIZE)
        crops = torch.where(solarize & (crops >= SOLARIZE_FROM), 255 - crops, crops)
        return normalise(crops.transpose(1, 2)).contiguous()


def _flags(numbers: Tensor, column: _Column) -> Tensor:
    return numbers[:, column, None, None, None] > 0


def _levels(values: Tensor) -> Tensor:
    """Whole levels from 0 to 255, in place."""
    return values.add_(0.5).floor_().clamp_(0, 255)


def _resized(pixels: Tensor, numbers: Tensor, *, size: int, extent: tuple[int, int]) -> Tensor:
    """Cut boxes out, resize and flip them: (C, S, 3, S) float32 levels."""
    start, stride, height, width = numbers[:, : _Column.FLIP].long().T[..., None]
    rows = torch.arange(extent[0], device=pixels.device).minimum(height - 1)
    columns = torch.arange(extent[1], device=pixels.device).minimum(width - 1)
    # Beyond its box a view repeats the last row and column; their weights are zero.
    places = (start + rows * stride)[:, :, None] + columns[:, None]
    boxes = pixels.index_select(0, places.flatten()).view(*places.shape, 3)
    flip = numbers[:, _Column.FLIP, None] > 0
    across = _bicubic(width, size=size, extent=extent[1], flip=flip)
    down = _bicubic(height, size=size, extent=extent[0], flip=torch.zeros_like(flip))
    return _levels(_down(down, _levels(_across(boxes.transpose(2, 3).float(), across))))


def _bicubic(length: Tensor, *, size: int, extent: int, flip: Tensor) -> Tensor:
    """Pillow's antialiased bicubic resampling as matrices.

    Args:
        length: (C, 1) source pixels of each view.
        size: S.
        extent: Columns of the matrix; those beyond `length` are zero.
        flip: (C, 1) bool, whether the result is mirrored.

    Returns:
        (C, S, extent) float32, rows that add up to 1.
    """
    scale = length.double() / size
    target = torch.arange(size, device=length.device)
    centre = (torch.where(flip, size - 1 - target, target) + 0.5) * scale  # (C, S)
    # Split, so that near the centre, where weights matter, float32 is exact.
    whole = centre.floor()
    source = torch.arange(extent, device=length.device, dtype=torch.float32)
    offset = (source - whole.float()[..., None]) + (0.5 - (centre - whole)).float()[..., None]
    x = offset.abs_().div_(scale.clamp_min(1).float()[..., None])
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _CUBIC
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0))
    weights = weights * (source < length)[:, None]
    return weights / weights.sum(dim=-1, keepdim=True)


def _across(pixels: Tensor, matrix: Tensor) -> Tensor:
    """(C, R, 3, W) and (C, S, W) -> (C, R, 3, S)."""
    return (pixels.flatten(1, 2) @ matrix.mT).unflatten(1, (-1, 3))


def _down(matrix: Tensor, pixels: Tensor) -> Tensor:
    """(C, S, R) and (C, R, 3, W) -> (C, S, 3, W)."""
    return (matrix @ pixels.flatten(2)).unflatten(2, (3, -1))


def _coloured(crops: Tensor, table: Table) -> Tensor:
    """Colour jitter and grayscale of (C, S, 3, S) levels.

    Brightness, contrast and saturation are blends with black, the mean luma and the pixel's own
    luma; a factor of 1 changes nothing.
    """
    numbers = table.numbers[:, :, None, None, None]
    for k, views in enumerate(table.turned):
        factor, towards = numbers[:, _Column.FACTORS + k].float(), numbers[:, _Column.TOWARDS + k]
        luma = _luma(crops)
        mean = (luma.mean(dim=(1, 2, 3), keepdim=True) + 0.5).floor()
        end = torch.where(towards == _TO_LUMA, luma, torch.where(towards == _TO_MEAN, mean, 0))
        crops = (end + factor * (crops - end)).clamp_(0, 255).floor_()
        if len(views):
            turn = numbers[:, _Column.TURN].float().index_select(0, views)
            crops.index_copy_(0, views, _turned(crops.index_select(0, views), turn=turn))
    return torch.where(numbers[:, _Column.GRAY] > 0, _luma(crops), crops)


def _luma(crops: Tensor) -> Tensor:
    """(C, S, 1, S) levels; whole numbers below 2^24, so float32 is exact."""
    red, green, blue = crops.split(1, dim=2)
    total = red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]
    return total.add_(1 << 15).div_(1 << 16).floor_()


def _turned(crops: Tensor, *, turn: Tensor) -> Tensor:
    """Turn the hue of (C, S, 3, S) by `turn` (C, 1, 1, 1) of 256 levels, through 8-bit HSV."""
    red, green, blue = crops.split(1, dim=2)
    value, chroma = crops.amax(dim=2, keepdim=True), crops.amin(dim=2, keepdim=True)
    chroma = value - chroma
    divisor = chroma.clamp_min(1)
    sixth = torch.where(
        red == value,
        (green - blue) / divisor,
        torch.where(green == value, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = ((sixth / 6).remainder_(1) * 255).floor_()
    saturation = (chroma / value.clamp_min(1) * 255).floor_().div_(255)
    sixth = (hue + turn).remainder_(256) * (6 / 255)
    # Red, green and blue are the same trapezium over the circle, two sixths apart.
    shift = torch.arange(5, 0, -2, device=crops.device)[:, None]
    place = (sixth + shift).remainder_(6)
    share = torch.minimum(place, 4 - place).clamp_(0, 1)
    return _levels(value * (1 - saturation * share))


def _blurred(crops: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of (C, S, 3, S) levels, 9 taps, mirrored edges; `sigma` (C,), 0 blurs not."""
    S, device = crops.shape[1], crops.device
    tap = torch.arange(BLUR_TAPS, device=device) - BLUR_TAPS // 2
    taps = torch.exp(-0.5 * (tap / sigma.clamp_min(1e-3)[:, None]) ** 2)
    taps = taps / taps.sum(dim=1, keepdim=True)  # (C, 9)
    place = torch.arange(S, device=device)
    source = S - 1 - (S - 1 - (place[:, None] + tap).abs()).abs()  # (S, 9), mirrored
    matrix = torch.einsum("ct,stw->csw", taps, (source[..., None] == place).float())
    return _levels(_down(matrix, _across(crops, matrix)))
