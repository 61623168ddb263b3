"""Multi-crop augmentation of DINOv2: parameters drawn first, then applied to pixels.

Order per view (DINOv2, `data/augmentations.py`): random resized crop, horizontal flip, colour
jitter, grayscale, blur, solarize (second global view only). Drawing and applying are apart, so that
the same record gives the same view whatever worker or rank applies it.

Two engines: `pillow` equals torchvision's PIL results bit for bit (blur within 1 level); `cv2`
fuses the linear colour operations into one 3x4 matrix and is several times faster.

Shapes: H, W height and width of the source image, S side of a view, C the number of views.
"""

import itertools
import math
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from sauropod.train.config import Crops

MEAN = (0.485, 0.456, 0.406)
"""ImageNet channel means, of pixels in [0, 1]."""
STD = (0.229, 0.224, 0.225)
"""ImageNet channel standard deviations, of pixels in [0, 1]."""

_TRIES = 10
_RATIO = (3 / 4, 4 / 3)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.4, 0.4, 0.2, 0.1
_JITTER_PROBABILITY, _GRAY_PROBABILITY = 0.8, 0.2
_SOLARIZE_FROM = 128
_BLUR_KERNEL = 9
_ORDERS = tuple(itertools.permutations(range(4)))
_UNIFORMS = 2 * _TRIES + 13
_LUMA = (0.299, 0.587, 0.114)
_BRIGHTNESS_FACTOR, _CONTRAST_FACTOR, _SATURATION_FACTOR, _HUE_SHIFT = range(4)


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
    blur: float
    solarize: float


def kinds(crops: Crops) -> list[_Kind]:
    """Kinds of the views of one image: first global, second global, then the local ones.

    `blur_mode: paper` blurs with probability 1, 0.1 and 0.5 as written; `released` with 0, 0.9 and
    0.5, as the released models were trained: their code handed 1 - p on (dinov2 PR 411).
    """
    first, second, local = (0.0, 0.9, 0.5) if crops.blur_mode == "released" else (1.0, 0.1, 0.5)
    size, scale = crops.global_size, crops.global_scale
    return [
        _Kind(size, scale, first, 0.0),
        _Kind(size, scale, second, crops.solarize),
        *[_Kind(crops.local_size, crops.local_scale, local, 0.0)] * crops.num_local,
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
    if jittered < _JITTER_PROBABILITY:
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
        gray=gray < _GRAY_PROBABILITY,
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


def apply(image: np.ndarray, view: View, *, engine: Literal["pillow", "cv2"]) -> np.ndarray:
    """Cut one view out of an image.

    Args:
        image: (H, W, 3) uint8, RGB.
        view: What to do.
        engine: `pillow` is exact, `cv2` is fast (other resampling, no clipping between the linear
            colour operations).

    Returns:
        (S, S, 3) uint8, RGB.
    """
    pixels = _apply_pillow(image, view) if engine == "pillow" else _apply_cv2(image, view)
    if view.blur_sigma > 0:
        pixels = blur(pixels, sigma=view.blur_sigma)
    if view.solarize:
        pixels = np.where(pixels < _SOLARIZE_FROM, pixels, 255 - pixels)
    return pixels


def blur(pixels: np.ndarray, *, sigma: float) -> np.ndarray:
    """Gaussian blur, 9x9 taps, mirrored edges; `pixels` (S, S, 3) uint8."""
    size = (_BLUR_KERNEL, _BLUR_KERNEL)
    return cv2.GaussianBlur(pixels, size, sigma, borderType=cv2.BORDER_REFLECT_101)


def _apply_pillow(image: np.ndarray, view: View) -> np.ndarray:
    # crop() before resize(): resize(box=) would read pixels outside of the box.
    cut = Image.fromarray(image).crop(view.box)
    cut = cut.resize((view.size, view.size), Image.Resampling.BICUBIC)
    if view.flip:
        cut = ImageOps.mirror(cut)
    if view.jitter is not None:
        cut = jitter_exactly(cut, view.jitter)
    if view.gray:
        cut = cut.convert("L").convert("RGB")
    return np.asarray(cut)


def jitter_exactly(image: Image.Image, jitter: Jitter) -> Image.Image:
    """Colour jitter with the 8-bit rounding after every operation that PIL and torchvision do."""
    for operation in jitter.order:
        if operation == _BRIGHTNESS_FACTOR:
            image = ImageEnhance.Brightness(image).enhance(jitter.brightness)
        elif operation == _CONTRAST_FACTOR:
            image = ImageEnhance.Contrast(image).enhance(jitter.contrast)
        elif operation == _SATURATION_FACTOR:
            image = ImageEnhance.Color(image).enhance(jitter.saturation)
        else:
            hue, saturation, value = image.convert("HSV").split()
            # int() truncates towards zero, then the shift wraps round the circle of 256 levels.
            turned = (np.asarray(hue, np.int16) + int(jitter.hue * 255)) & 255
            hue = Image.fromarray(turned.astype(np.uint8))
            image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    return image


def _apply_cv2(image: np.ndarray, view: View) -> np.ndarray:
    left, top, right, bottom = view.box
    cut = image[top:bottom, left:right]
    # Area averaging is antialiased, which bicubic is not in cv2: it only serves to enlarge.
    shrinks = right - left >= view.size and bottom - top >= view.size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    cut = cv2.resize(cut, (view.size, view.size), interpolation=method)
    if view.flip:
        cut = cv2.flip(cut, 1)
    return jitter_fast(cut, view.jitter, gray=view.gray)


def jitter_fast(pixels: np.ndarray, jitter: Jitter | None, *, gray: bool) -> np.ndarray:
    """Colour jitter and grayscale as at most two affine maps of RGB around the hue shift.

    Args:
        pixels: (S, S, 3) uint8.
        jitter: Colour jitter, or None.
        gray: Whether to end in grayscale.

    Returns:
        (S, S, 3) uint8; unlike in `jitter_exactly` nothing is rounded or clipped in between.
    """
    if jitter is None:
        return _affine(pixels, (), jitter, gray=True) if gray else pixels
    at = jitter.order.index(_HUE_SHIFT)
    pixels = _affine(pixels, jitter.order[:at], jitter, gray=False)
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(jitter.hue * 255) & 255)
    pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
    return _affine(pixels, jitter.order[at + 1 :], jitter, gray=gray)


def _affine(
    pixels: np.ndarray, operations: tuple[int, ...], jitter: Jitter | None, *, gray: bool
) -> np.ndarray:
    """Brightness, contrast, saturation, grayscale as p -> own * p + luma * luma(p) + offset."""
    if not operations and not gray:
        return pixels
    own, luma, offset = 1.0, 0.0, 0.0
    red, green, blue, _ = cv2.mean(pixels)
    mean = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    for operation in operations:
        assert jitter is not None
        if operation == _BRIGHTNESS_FACTOR:
            factor = jitter.brightness
            own, luma, offset = own * factor, luma * factor, offset * factor
        elif operation == _CONTRAST_FACTOR:  # blends with the mean luma
            factor, level = jitter.contrast, (own + luma) * mean + offset
            own, luma, offset = own * factor, luma * factor, offset * factor + (1 - factor) * level
        else:  # saturation blends with the pixel's own luma
            factor = jitter.saturation
            own, luma = own * factor, luma + own * (1 - factor)
    if gray:
        own, luma = 0.0, own + luma
    red, green, blue = (luma * weight for weight in _LUMA)
    matrix = np.array(
        [
            [own + red, green, blue, offset],
            [red, own + green, blue, offset],
            [red, green, own + blue, offset],
        ]
    )
    return cv2.transform(pixels, matrix)


def views(
    image: np.ndarray, generator: np.random.Generator, *, crops: Crops
) -> tuple[np.ndarray, np.ndarray]:
    """Draw and cut all views of one image.

    Args:
        image: (H, W, 3) uint8, RGB.
        generator: Keyed by the sample.
        crops: Sizes, scales, engine.

    Returns:
        Global views (2, S, S, 3) and local views (num_local, s, s, 3), uint8.
    """
    assert crops.engine != "tensor"
    height, width = image.shape[:2]
    drawn = draw(generator, width=width, height=height, crops=crops)
    cut = [apply(image, view, engine=crops.engine) for view in drawn]
    local = np.empty((crops.num_local, crops.local_size, crops.local_size, 3), np.uint8)
    if crops.num_local:
        local[:] = cut[2:]
    return np.stack(cut[:2]), local


def eval_crop(image: Image.Image, *, resize: int, crop: int) -> np.ndarray:
    """Evaluation view: bicubic resize of the short side, then the centred square.

    Args:
        image: RGB image.
        resize: Short side afterwards, pixels.
        crop: Side of the square, pixels; at most `resize`.

    Returns:
        (3, crop, crop) uint8.
    """
    assert crop <= resize
    width, height = image.size
    short, long = min(width, height), max(width, height)
    long = int(resize * long / short)
    size = (resize, long) if width <= height else (long, resize)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    square = image.crop((left, top, left + crop, top + crop))
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Turn uint8 pixels (..., 3, H, W) into float32 of ImageNet mean 0 and deviation 1."""
    mean = torch.tensor(MEAN, device=pixels.device).view(3, 1, 1) * 255
    scale = 1 / (torch.tensor(STD, device=pixels.device).view(3, 1, 1) * 255)
    return (pixels.float() - mean) * scale
