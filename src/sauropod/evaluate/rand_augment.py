"""RandAugment as DeiT III fine-tunes with it: timm's `rand-m9-mstd0.5-inc1`.

Cubuk et al. 2020, "RandAugment". Two of fifteen operations are drawn, each is left out half of the
times, and each is as strong as a normal variable of deviation 0.5 around the magnitude says, from 0
(weakest) to 10. What an operation pulls in from outside of the image is the mean colour.
"""

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from sauropod.train.augment import MEAN

OPERATIONS = (
    "autocontrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "solarize_add",
    "colour",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
DRAWN, LEFT_OUT, DEVIATION, STRONGEST = 2, 0.5, 0.5, 10.0
FILL = tuple(round(255 * mean) for mean in MEAN)
_BICUBIC = Image.Resampling.BICUBIC


def rand_augment(image: Image.Image, rng: np.random.Generator, *, magnitude: float) -> Image.Image:
    """Apply up to two random operations.

    Args:
        image: RGB.
        rng: Keyed generator of the image.
        magnitude: Mean strength, 0 to 10.
    """
    for place in rng.integers(len(OPERATIONS), size=DRAWN).tolist():
        level = float(np.clip(rng.normal(magnitude, DEVIATION), 0, STRONGEST)) / STRONGEST
        sign = rng.choice((-1.0, 1.0))
        if rng.random() >= LEFT_OUT:
            image = applied(OPERATIONS[place], image, level=level, sign=sign)
    return image


def applied(name: str, image: Image.Image, *, level: float, sign: float) -> Image.Image:
    """One operation.

    Args:
        name: One of OPERATIONS.
        image: RGB.
        level: 0 to 1.
        sign: 1 or -1, the direction of those that have two.
    """
    turn, enhance = sign * level, max(0.1, 1 + 0.9 * sign * level)
    match name:
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case "invert":
            return ImageOps.invert(image)
        case "rotate":
            return image.rotate(30 * turn, resample=_BICUBIC, fillcolor=FILL)
        case "posterize":
            return _posterised(image, bits=4 - int(4 * level))
        case "solarize":
            return ImageOps.solarize(image, 256 - int(256 * level))
        case "solarize_add":
            more = min(128, int(110 * level))
            return image.point([min(255, v + more) if v < 128 else v for v in range(256)] * 3)
        case "colour":
            return ImageEnhance.Color(image).enhance(enhance)
        case "contrast":
            return ImageEnhance.Contrast(image).enhance(enhance)
        case "brightness":
            return ImageEnhance.Brightness(image).enhance(enhance)
        case "sharpness":
            return ImageEnhance.Sharpness(image).enhance(enhance)
        case "shear_x":
            return _moved(image, (1, 0.3 * turn, 0, 0, 1, 0))
        case "shear_y":
            return _moved(image, (1, 0, 0, 0.3 * turn, 1, 0))
        case "translate_x":
            return _moved(image, (1, 0, 0.45 * turn * image.width, 0, 1, 0))
        case "translate_y":
            return _moved(image, (1, 0, 0, 0, 1, 0.45 * turn * image.height))
    raise ValueError(name)


def _posterised(image: Image.Image, *, bits: int) -> Image.Image:
    """Keep the highest bits; of none, black."""
    mask = ~(2 ** (8 - bits) - 1) & 255
    return image.point([value & mask for value in range(256)] * 3)


def _moved(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    """The affine map of target pixels to source pixels."""
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=_BICUBIC, fillcolor=FILL
    )
