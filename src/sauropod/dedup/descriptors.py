"""Images to copy-detection descriptors.

Preprocessing as the authors evaluate (Pizzi et al. 2022, section 5.3): short side 288 keeping the
aspect ratio, or a skewed square (320), then ImageNet's mean and standard deviation.

Shapes: B images, H x W pixels after the resize, D descriptor width.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch import Tensor, nn

from sauropod import images, io, schema
from sauropod.config import Describe
from sauropod.models.sscd import IMAGENET_MEAN, IMAGENET_STD
from sauropod.retrieve.vectors import is_unit
from sauropod.vector_rows import VectorRows, batches


def resize(image: Image.Image, *, mode: Literal["short", "square"], resolution: int) -> np.ndarray:
    """Resize to the descriptor's input, bilinear with antialiasing: uint8 RGB (H, W, 3).

    `short` makes the short side `resolution` pixels and keeps the aspect ratio, the long side
    rounded down as torchvision does; beyond four times the short one it is squeezed, so that a
    banner cannot take a device's memory. `square` makes both sides `resolution`.
    """
    size = (resolution, resolution)
    if mode == "short":
        short = min(image.size)
        width, height = (min(resolution * side // short, 4 * resolution) for side in image.size)
        size = (width, height)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def normalise(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in ImageNet's normalisation."""
    mean = torch.tensor(IMAGENET_MEAN, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=pixels.device).view(1, 3, 1, 1)
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


@torch.inference_mode()
def describe_pixels(model: nn.Module, pixels: list[np.ndarray], *, device: torch.device) -> Tensor:
    """Describe resized images: list of uint8 (H, W, 3) -> float32 (B, D), L2-normalised.

    Images of one size go through the network together.
    """
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(pixels):
        shapes.setdefault(image.shape, []).append(i)
    rows: list[Tensor] = [torch.empty(0)] * len(pixels)
    for members in shapes.values():
        batch = torch.from_numpy(np.stack([pixels[i] for i in members])).to(device)
        found = torch.nn.functional.normalize(model(normalise(batch)).float())
        for i, row in zip(members, found.cpu(), strict=True):
            rows[i] = row
    return torch.stack(rows)


def describe_shard(
    table: pl.DataFrame,
    *,
    model: nn.Module,
    knobs: Describe,
    device: torch.device,
    batch_size: int,
    num_threads: int,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Describe the rows of an IMAGES table with status ok.

    Args:
        table: IMAGES of a shard.
        model: Network of `models.sscd`.
        knobs: Resize.
        device: Where the model is.
        batch_size: Images decoded ahead together; changes only speed and memory.
        num_threads: Threads that decode.

    Returns:
        DESCRIPTORS in row order, and the rows dropped by reason: why they could not be decoded, or
        `bad_descriptor` where the network gave no direction (NaN, or zero).
    """
    usable = table.filter(pl.col("status") == "ok")
    found, done = VectorRows(usable["image_id"]), 0
    dropped = Counter[str]()
    with ThreadPoolExecutor(num_threads) as pool:
        for batch in batches(usable, batch_size, label="describe"):
            data = [io.read_range(Path(t), offset=o, num_bytes=n) for t, o, n in batch]
            inputs = list(pool.map(lambda d: _input(d, knobs), data))
            dropped.update(pixels for pixels in inputs if isinstance(pixels, str))
            good = {
                done + i: pixels for i, pixels in enumerate(inputs) if not isinstance(pixels, str)
            }
            if good:
                vectors = describe_pixels(model, list(good.values()), device=device)
                stored = vectors.numpy().astype(np.float16)
                sound = is_unit(stored)
                dropped.update(["bad_descriptor"] * int((~sound).sum()))
                found.add(np.array(list(good))[sound], stored[sound])
            done += len(batch)
    return found.frame(schema.DESCRIPTORS), dict(dropped)


def _input(data: bytes, knobs: Describe) -> np.ndarray | str:
    try:
        # Half-way to the target a JPEG decoder may shrink: descriptors then stay the same to five
        # digits, while shrinking all the way costs up to 0.06 of cosine.
        image = images.decode(data, draft=2 * knobs.resolution)
    except images.ImageError as error:
        return error.status
    return resize(image, mode=knobs.resize, resolution=knobs.resolution)
