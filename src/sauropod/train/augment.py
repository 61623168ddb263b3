"""Multi-crop augmentation of DINOv2 on the CPU: views as drawn, applied to pixels.

Order per view (DINOv2, `data/augmentations.py`): random resized crop, horizontal flip, colour
jitter, grayscale, blur, solarize (second global view only).

Two engines here: `pillow` equals torchvision's PIL results bit for bit (blur within 1 level); `cv2`
fuses the linear colour operations into one 3x4 matrix and is several times faster. The third,
`tensor`, is `tensor_augment`.

Shapes: H, W height and width of the source image, S side of a view, C the number of views.
"""

import math
from typing import Literal

import cv2
import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from sauropod.train.views import Jitter, View

MEAN = (0.485, 0.456, 0.406)
"""ImageNet channel means, of pixels in [0, 1]."""
STD = (0.229, 0.224, 0.225)
"""ImageNet channel standard deviations, of pixels in [0, 1]."""

SOLARIZE_FROM = 128
BLUR_TAPS = 9
_LEAST_SMOOTHED, _MOST_SMOOTHED = 1.1, 3.0
_LUMA = (0.299, 0.587, 0.114)
_BRIGHTNESS_FACTOR, _CONTRAST_FACTOR, _SATURATION_FACTOR, _HUE_SHIFT = range(4)


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
        pixels = np.where(pixels < SOLARIZE_FROM, pixels, 255 - pixels)
    return pixels


def blur(pixels: np.ndarray, *, sigma: float) -> np.ndarray:
    """Gaussian blur, 9x9 taps, mirrored edges; `pixels` (S, S, 3) uint8."""
    size = (BLUR_TAPS, BLUR_TAPS)
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
    cut = _resize_fast(image[top:bottom, left:right], view.size)
    if view.flip:
        cut = cv2.flip(cut, 1)
    return jitter_fast(cut, view.jitter, gray=view.gray)


def _resize_fast(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize (h, w, 3) uint8 to (size, size, 3), antialiased.

    cv2's bicubic is not antialiased: what shrinks is smoothed before. Area averaging, which is, is
    as near to Pillow's bicubic but takes three times as long, and serves where three taps would
    not reach.
    """
    down, across = (max(1.0, side / size) for side in pixels.shape[:2])
    method = cv2.INTER_CUBIC
    if max(down, across) > _MOST_SMOOTHED:
        method = cv2.INTER_AREA
    elif max(down, across) > _LEAST_SMOOTHED:
        # Kernels' variances add up: a source pixel's is taken from a target pixel's.
        sigmas = [0.5 * math.sqrt(ratio**2 - 1) for ratio in (across, down)]
        pixels = cv2.GaussianBlur(
            pixels, (3, 3), sigmaX=max(sigmas[0], 1e-3), sigmaY=max(sigmas[1], 1e-3)
        )
    return cv2.resize(pixels, (size, size), interpolation=method)


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
    """Turn levels (..., 3, H, W) into float32 of ImageNet mean 0 and deviation 1."""
    values = pixels.to(torch.float32, copy=True)
    # Numbers, for a tensor of them would have to be copied to the device, which waits for it.
    for channel, mean, deviation in zip(values.unbind(-3), MEAN, STD, strict=True):
        channel.sub_(255 * mean).mul_(1 / (255 * deviation))
    return values
