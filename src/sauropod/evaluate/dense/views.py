"""Random views of an image and its map, in the order and by the rules of the toolboxes' pipelines.

mmsegmentation 0.27 for segmentation, the monocular depth toolbox (Li 2022) for depth. Shapes: H, W
height and width in pixels; images (H, W, 3) uint8 or float32 levels, maps (H, W).
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from sauropod.evaluate.dense.miou import IGNORED
from sauropod.evaluate.dense.pairs import Sample
from sauropod.train.augment import normalise

CAT_MAX_RATIO = 0.75
CROP_TRIES = 11
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32, (0.5, 1.5), (0.5, 1.5), 18
DEGREES = 2.5
GAMMA, TINT = (0.9, 1.1), (0.9, 1.1)


def fitted_size(height: int, width: int, *, bounds: tuple[int, int]) -> tuple[int, int]:
    """Height and width that fit (long, short) bounds with the aspect ratio kept (mmcv's rule)."""
    factor = min(max(bounds) / max(height, width), min(bounds) / min(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def resized(values: np.ndarray, size: tuple[int, int], *, nearest: bool = False) -> np.ndarray:
    """Resize to (height, width), bilinear as OpenCV does it; maps take the nearest pixel."""
    if values.shape[:2] == size:
        return values
    method = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.resize(values, size[::-1], interpolation=method)


def _corner(
    shape: tuple[int, ...], crop: tuple[int, int], rng: np.random.Generator
) -> tuple[slice, slice]:
    rows, columns = (
        slice(at := int(rng.integers(max(side - part, 0) + 1)), at + part)
        for side, part in zip(shape[:2], crop, strict=True)
    )
    return rows, columns


def labelled_crop(
    labels: np.ndarray, *, crop: int, rng: np.random.Generator
) -> tuple[slice, slice]:
    """Draw a crop in which no class fills three quarters of what is labelled; at the 11th try any.

    Args:
        labels: (H, W) class numbers or `IGNORED`.
        crop: Side; larger than the image takes all of it.
        rng: Randomness.
    """
    place = _corner(labels.shape, (crop, crop), rng)
    for _ in range(CROP_TRIES - 1):
        inside = labels[place]
        counts = np.unique(inside[inside != IGNORED], return_counts=True)[1]
        if len(counts) > 1 and counts.max() < CAT_MAX_RATIO * counts.sum():
            break
        place = _corner(labels.shape, (crop, crop), rng)
    return place


def photometric(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation and hue, each with probability 1/2, rounded in between.

    Contrast comes second or last, by the toss of a coin (SSD's distortion as in mmsegmentation).
    """

    def scaled(levels: np.ndarray, factor: float = 1.0, shift: float = 0.0) -> np.ndarray:
        return np.clip(levels.astype(np.float32) * factor + shift, 0, 255).astype(np.uint8)

    def contrasted(levels: np.ndarray) -> np.ndarray:
        return scaled(levels, rng.uniform(*CONTRAST)) if rng.integers(2) else levels

    if rng.integers(2):
        image = scaled(image, shift=rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    contrast_last = bool(rng.integers(2))
    if not contrast_last:
        image = contrasted(image)
    saturate, turn = rng.integers(2), rng.integers(2)
    if saturate or turn:
        hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)  # hue 0 to 179
        if saturate:
            hsv[..., 1] = scaled(hsv[..., 1], rng.uniform(*SATURATION))
        if turn:
            hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(-HUE, HUE))) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return contrasted(image) if contrast_last else image


def segmentation_view(
    image: np.ndarray,
    labels: np.ndarray,
    *,
    image_size: tuple[int, int],
    ratios: tuple[float, float],
    crop: int,
    rng: np.random.Generator,
) -> Sample:
    """Resize by a random factor, crop, flip, distort colours, pad: a training view.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) class numbers or `IGNORED`.
        image_size: Long and short side to fit at factor 1.
        ratios: Range of the factor.
        crop: Side of the view.
        rng: Randomness.
    """
    ratio = rng.uniform(*ratios)
    bounds = int(image_size[0] * ratio), int(image_size[1] * ratio)
    size = fitted_size(*labels.shape, bounds=bounds)
    image, labels = resized(image, size), resized(labels, size, nearest=True)
    place = labelled_crop(labels, crop=crop, rng=rng)
    image, labels = image[place], labels[place]
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return padded(photometric(image, rng), labels.astype(np.int64), (crop, crop), fill=IGNORED)


def depth_view(
    image: np.ndarray,
    depth: np.ndarray,
    *,
    crop: tuple[int, int],
    brightness: tuple[float, float],
    rng: np.random.Generator,
) -> Sample:
    """Rotate, flip, crop and tint: a training view.

    Args:
        image: (H, W, 3) uint8.
        depth: (H, W) float32 metres, 0 where nothing was measured.
        crop: Height and width of the view.
        brightness: Range of the factor on all levels.
        rng: Randomness.
    """
    if rng.random() < 0.5:
        image, depth = rotated(image, depth, degrees=rng.uniform(-DEGREES, DEGREES))
    if rng.random() < 0.5:
        image, depth = image[:, ::-1], depth[:, ::-1]
    place = _corner(depth.shape, crop, rng)
    image, depth = image[place], depth[place]
    if rng.random() < 0.5:
        levels = image.astype(np.float32) ** rng.uniform(*GAMMA) * rng.uniform(*brightness)
        image = np.clip(levels * rng.uniform(*TINT, size=3), 0, 255).astype(np.float32)
    return padded(image, depth, crop, fill=0)


def rotated(
    image: np.ndarray, depth: np.ndarray, *, degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """Turn both clockwise about their middle; corners become black and unmeasured."""
    height, width = depth.shape
    centre = ((width - 1) / 2, (height - 1) / 2)
    turn = cv2.getRotationMatrix2D(centre, -degrees, 1.0)
    return (
        cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR),
        cv2.warpAffine(depth, turn, (width, height), flags=cv2.INTER_NEAREST),
    )


def padded(image: np.ndarray, truth: np.ndarray, size: tuple[int, int], *, fill: int) -> Sample:
    """Normalise, then pad at the bottom and right to `size`: the image with the mean colour."""
    height, width = truth.shape
    pixels = torch.zeros(3, *size)
    pixels[:, :height, :width] = image_tensor(image)
    values = torch.full(size, fill, dtype=torch.from_numpy(truth[:0].copy()).dtype)
    values[:height, :width] = torch.from_numpy(np.ascontiguousarray(truth))
    return Sample(pixels, values)


def image_tensor(image: np.ndarray) -> Tensor:
    """Normalised (3, H, W) float32 of levels (H, W, 3)."""
    return normalise(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))))
