"""Training batches of supervised protocols: a random crop and flip of every image, keyed.

Inception's crop (8 to 100 % of the area, ratio 3/4 to 4/3), bicubic, as torchvision draws it.

Shapes: B images per batch, S side of the crop.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sauropod import images
from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import Clip, Split
from sauropod.evaluate.linear import permutations
from sauropod.evaluate.rand_augment import rand_augment

AREA, RATIO, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10


class Crops(NamedTuple):
    """A batch: pixels uint8 (b, 3, S, S) and the labels of the images that could be read."""

    pixels: Tensor
    labels: Tensor


def random_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a crop; the largest centred one of a fitting ratio after all."""
    for _ in range(TRIES):
        area = width * height * rng.uniform(*AREA)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def random_crop(
    image: Image.Image, *, side: int, rng: np.random.Generator, magnitude: float = 0.0
) -> np.ndarray:
    """A random crop, flipped half of the times, then RandAugment: uint8 (3, S, S)."""
    box = random_box(*image.size, rng)
    square = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.5:
        square = ImageOps.mirror(square)
    if magnitude:
        square = rand_augment(square, rng, magnitude=magnitude)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def crop_batches(
    split: Split,
    *,
    side: int,
    batch_size: int,
    steps: int,
    seed: int,
    num_threads: int,
    magnitude: float = 0.0,
) -> Iterator[Crops]:
    """Yield `steps` batches, the next one decoded while one is used.

    An image that cannot be read is left out of its batch; a batch of none is the user's mistake.

    Args:
        split: Images, not clips.
        side: S.
        batch_size: B.
        steps: Batches.
        seed: Keys order, crops and flips; the worker count changes none of them.
        num_threads: Decoder threads.
        magnitude: Of RandAugment, 0 to 10; 0 leaves it out.

    Raises:
        InputError: clips, or no image of a batch can be read.
    """
    if any(isinstance(image, Clip) for image in split.images[:1]):
        where, fix = str(split.images[0]), "measure clips with frozen features"
        raise InputError(where, expected="images", found="clips", fix=fix)

    def load(ordinal: int, row: int) -> np.ndarray | None:
        rng = np.random.Generator(np.random.Philox(key=[seed, ordinal]))
        try:
            image = images.decode(split.images[row].read_bytes())  # type: ignore[union-attr]
        except (images.ImageError, OSError):
            return None
        return random_crop(image, side=side, rng=rng, magnitude=magnitude)

    order = permutations(len(split.labels), batch_size=batch_size, steps=steps, seed=seed)
    with ThreadPoolExecutor(num_threads) as pool:
        ahead = None
        for step, rows in enumerate(order):
            first = step * batch_size
            found = pool.map(load, range(first, first + batch_size), rows.tolist())
            if ahead:
                yield _batch(*ahead, split)
            ahead = found, rows
        if ahead:
            yield _batch(*ahead, split)


def _batch(found: Iterator[np.ndarray | None], rows: Tensor, split: Split) -> Crops:
    pairs = [
        (crop, row) for crop, row in zip(found, rows.tolist(), strict=True) if crop is not None
    ]
    if not pairs:
        where, fix = str(split.images[int(rows[0])]), "check the files"
        raise InputError(where, expected="readable images", found="none in a batch", fix=fix)
    crops, kept = zip(*pairs, strict=True)
    labels = torch.from_numpy(split.labels[list(kept)])
    return Crops(torch.from_numpy(np.stack(crops)), labels)
