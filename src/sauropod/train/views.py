"""The random part of multi-crop augmentation: what every view of an image is, before any pixel.

Drawing and applying are apart, so that the same record gives the same view whatever worker, rank or
engine applies it, and so that an image's views are known before it is decoded.
"""

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sauropod.train.config import Crops

_TRIES = 10
_RATIO = (3 / 4, 4 / 3)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.4, 0.4, 0.2, 0.1
_ORDERS = tuple(itertools.permutations(range(4)))
_UNIFORMS = 2 * _TRIES + 13
_SHRINKS = (8, 4, 2)


class Jitter(NamedTuple):
    """Colour jitter: factors 1, 1, 1 and shift 0 change nothing."""

    order: tuple[int, ...]
    """Order of 0 brightness, 1 contrast, 2 saturation, 3 hue."""
    brightness: float
    contrast: float
    saturation: float
    hue: float
    """Turn of the hue circle, in [-0.5, 0.5]."""


class View(NamedTuple):
    """Everything random about one view of one image."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom in source pixels."""
    size: int
    flip: bool
    jitter: Jitter | None
    gray: bool
    blur_sigma: float
    """Pixels of the view; 0 means no blur."""
    solarize: bool


class _Kind(NamedTuple):
    """What the views of one kind share."""

    size: int
    scale: tuple[float, float]
    jitter: float
    gray: float
    blur: float
    solarize: float


def kinds(crops: Crops) -> list[_Kind]:
    """Kinds of the views of one image: first global, second global, then the local ones.

    `blur_mode: paper` blurs with probability 1, 0.1 and 0.5 as written; `released` with 0, 0.9 and
    0.5, as the released models were trained: their code handed 1 - p on (dinov2 PR 411).
    """
    first, second, local = (0.0, 0.9, 0.5) if crops.blur_mode == "released" else (1.0, 0.1, 0.5)
    size, scale, colours = crops.global_size, crops.global_scale, (crops.jitter, crops.gray)
    return [
        _Kind(size, scale, *colours, first, 0.0),
        _Kind(size, scale, *colours, second, crops.solarize),
        *[_Kind(crops.local_size, crops.local_scale, *colours, local, 0.0)] * crops.num_local,
    ]


def draw(
    generator: np.random.Generator, *, width: int, height: int, crops: Crops
) -> tuple[View, ...]:
    """Draw the views of one image: two global ones, then `crops.num_local` local ones.

    The number of random numbers used does not depend on their values.
    """
    wanted = kinds(crops)
    rows = generator.random((len(wanted), _UNIFORMS)).tolist()
    sigma = crops.blur_sigma
    return tuple(
        _view(row, kind, width=width, height=height, sigma_range=sigma)
        for row, kind in zip(rows, wanted, strict=True)
    )


def _view(
    uniforms: list[float],
    kind: _Kind,
    *,
    width: int,
    height: int,
    sigma_range: tuple[float, float],
) -> View:
    left, top, flip, jittered, b, c, s, h, order, gray, blurred, sigma, solarize = uniforms[
        2 * _TRIES :
    ]
    crop_width, crop_height = _crop_size(uniforms, kind.scale, width=width, height=height)
    x, y = int(left * (width - crop_width + 1)), int(top * (height - crop_height + 1))
    if crop_width == 0:
        x, y, crop_width, crop_height = _centre(width, height)
    jitter = None
    if jittered < kind.jitter:
        jitter = Jitter(
            order=_ORDERS[int(order * len(_ORDERS))],
            brightness=1 + _BRIGHTNESS * (2 * b - 1),
            contrast=1 + _CONTRAST * (2 * c - 1),
            saturation=1 + _SATURATION * (2 * s - 1),
            hue=_HUE * (2 * h - 1),
        )
    low, high = sigma_range
    return View(
        box=(x, y, x + crop_width, y + crop_height),
        size=kind.size,
        flip=flip < 0.5,
        jitter=jitter,
        gray=gray < kind.gray,
        blur_sigma=low + sigma * (high - low) if blurred < kind.blur else 0.0,
        solarize=solarize < kind.solarize,
    )


def _crop_size(
    uniforms: list[float], scale: tuple[float, float], *, width: int, height: int
) -> tuple[int, int]:
    """First of ten (area, log-uniform aspect) draws that fits; (0, 0) when none does."""
    low, high = scale
    log_low, log_high = math.log(_RATIO[0]), math.log(_RATIO[1])
    for i in range(_TRIES):
        area = width * height * (low + uniforms[2 * i] * (high - low))
        ratio = math.exp(log_low + uniforms[2 * i + 1] * (log_high - log_low))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return w, h
    return 0, 0


def _centre(width: int, height: int) -> tuple[int, int, int, int]:
    """Largest centred box whose aspect is allowed: x, y, width, height."""
    w, h = width, height
    if width < _RATIO[0] * height:
        h = min(height, round(width / _RATIO[0]))
    elif width > _RATIO[1] * height:
        w = min(width, round(height * _RATIO[1]))
    return (width - w) // 2, (height - h) // 2, w, h


def scaled(
    views: Iterable[View], *, size: tuple[int, int], to: tuple[int, int]
) -> tuple[View, ...]:
    """The views of an image of `size` in the same image of size `to` (width, height).

    Edges of boxes are rounded to pixels, and a box keeps at least one.
    """

    def along(axis: int, low: int, high: int) -> tuple[int, int]:
        ratio = to[axis] / size[axis]
        start = min(round(low * ratio), to[axis] - 1)
        return start, max(round(high * ratio), start + 1)

    def box(left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int]:
        (left, right), (top, bottom) = along(0, left, right), along(1, top, bottom)
        return left, top, right, bottom

    return tuple(view._replace(box=box(*view.box)) for view in views)


def shrink_factor(views: tuple[View, ...], *, size: tuple[int, int]) -> int:
    """How many times smaller the image may be decoded: 8, 4, 2, or 1 where a view were enlarged.

    Args:
        views: Drawn for the whole image.
        size: Its width and height.
    """
    for factor in _SHRINKS:
        # Decoders round the sides up.
        smaller = scaled(views, size=size, to=(-(-size[0] // factor), -(-size[1] // factor)))
        if all(
            min(right - left, bottom - top) >= view.size
            for view in smaller
            for left, top, right, bottom in [view.box]
        ):
            return factor
    return 1
