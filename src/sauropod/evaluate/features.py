"""Frozen features of a split, computed once and shared by every probe.

Shapes: n readable images of a split, B batch, L last blocks kept, D width, S image side in pixels.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from sauropod import images
from sauropod.errors import InputError
from sauropod.evaluate.datasets import Split
from sauropod.progress import track

WINDOW = 16  # images decoded ahead, per thread


class Extractor(NamedTuple):
    """What turns images into features: a frozen backbone, or the colour floor."""

    prepare: Callable[[Image.Image], np.ndarray]
    """One RGB image -> an array, the same shape for all."""
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    """A batch of such arrays -> CLS tokens (B, L, D) and mean patch tokens (B, D)."""


@dataclass(frozen=True)
class Features:
    """What a backbone says of a split's readable images.

    `cls` (n, L, D) normed CLS tokens of the last L blocks, the last block at the end; `patch_mean`
    (n, D) mean of the last block's normed patch tokens; `labels` int64 (n,); `unreadable`: images
    left out, counted by status.
    """

    cls: torch.Tensor
    patch_mean: torch.Tensor
    labels: torch.Tensor
    unreadable: dict[str, int]


def _prepared(path: Path, prepare: Callable[[Image.Image], np.ndarray]) -> np.ndarray | str:
    try:
        return prepare(images.decode(path.read_bytes()))
    except images.ImageError as error:
        return error.status


def decoded(
    split: Split, prepare: Callable[[Image.Image], np.ndarray], *, num_threads: int
) -> Iterator[tuple[np.ndarray | str, int]]:
    """Yield (array or failed status, label) in the split's order, a bounded window ahead.

    Pillow releases the interpreter lock while it decodes, so threads are enough.
    """
    window = WINDOW * num_threads
    with ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, len(split.paths), window):
            paths = split.paths[start : start + window]
            results = pool.map(lambda path: _prepared(path, prepare), paths)
            yield from zip(results, split.labels[start : start + window].tolist(), strict=True)


def _forward(
    extractor: Extractor, arrays: list[np.ndarray], device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        cls, patch_mean = extractor.forward(torch.from_numpy(np.stack(arrays)).to(device))
    return cls.float().cpu(), patch_mean.float().cpu()


def extract(
    extractor: Extractor,
    *,
    split: Split,
    batch_size: int,
    num_threads: int,
    device: str,
    label: str,
) -> Features:
    """Compute the features of every readable image of a split, in the split's order.

    Args:
        extractor: How to prepare an image, and how to map a batch on `device` to features.
        split: Images and labels.
        batch_size: Images per forward pass.
        num_threads: Decoder threads; changes speed only.
        device: Where the forward pass runs.
        label: Word for the progress line.

    Raises:
        InputError: no image of the split can be read.
    """
    parts, labels, pending = [], [], []
    unreadable: Counter[str] = Counter()
    prepared = decoded(split, extractor.prepare, num_threads=num_threads)
    for found, image_label in track(prepared, total=len(split.paths), label=label, unit="images"):
        if isinstance(found, str):
            unreadable[found] += 1
            continue
        labels.append(image_label)
        pending.append(found)
        if len(pending) == batch_size:
            parts.append(_forward(extractor, pending, device))
            pending = []
    if pending:
        parts.append(_forward(extractor, pending, device))
    if not labels:
        found, fix = f"none of {len(split.paths)} ({dict(unreadable)})", "check the files"
        folder = split.paths[0].parent.parent
        raise InputError(folder, expected="readable images", found=found, fix=fix)
    cls, patch_means = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return Features(cls, patch_means, torch.tensor(labels), dict(unreadable))
