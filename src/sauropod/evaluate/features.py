"""Frozen features of a split, computed once, kept on disk and shared by every protocol.

Shapes: n readable images of a split, B batch, T frames (1 of an image), L last blocks kept,
D width, S image side in pixels.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from sauropod import images, io
from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import Clip, Readable, Split, fingerprint
from sauropod.progress import track

WINDOW = 16  # images decoded ahead, per thread
FRAMES = 8
PARTS = ("cls", "patch_mean", "rows")

Pooling = Literal["mean", "concat"]


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
    (n, D) mean of the last block's normed patch tokens; `rows` int64 (n,): places in the split's
    listing; `unreadable`: images left out, counted by status.
    """

    cls: torch.Tensor
    patch_mean: torch.Tensor
    rows: torch.Tensor
    unreadable: dict[str, int]


def _prepared(
    image: Readable | Clip, prepare: Callable[[Image.Image], np.ndarray], frames: int
) -> np.ndarray | str:
    try:
        if isinstance(image, Clip):
            return np.stack([prepare(frame) for frame in image.read_frames(frames)])
        return prepare(images.decode(image.read_bytes()))[None]
    except images.ImageError as error:
        return error.status
    except OSError:
        return "missing"


def decoded(
    split: Split,
    prepare: Callable[[Image.Image], np.ndarray],
    *,
    num_threads: int,
    frames: int = FRAMES,
) -> Iterator[np.ndarray | str]:
    """Yield an array (T, ...) or failed status per image in the split's order, a window ahead.

    Pillow releases the interpreter lock while it decodes, so threads are enough.
    """
    window = WINDOW * num_threads
    with ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, len(split.images), window):
            part = split.images[start : start + window]
            yield from pool.map(lambda image: _prepared(image, prepare, frames), part)


def _readable(
    prepared: Iterable[np.ndarray | str], unreadable: Counter[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """Number the images, count those that are none, and yield the others."""
    for row, found in enumerate(prepared):
        if isinstance(found, str):
            unreadable[found] += 1
        else:
            yield row, found


def _pooled(values: torch.Tensor, frames: int, pooling: Pooling) -> torch.Tensor:
    """(B * T, ..., D) -> (B, ..., D), or (B, ..., T * D) with frames side by side."""
    apart = values.unflatten(0, (-1, frames))
    return apart.mean(1) if pooling == "mean" else apart.movedim(1, -2).flatten(-2)


def _forward(
    extractor: Extractor, arrays: list[np.ndarray], device: str, pooling: Pooling
) -> tuple[torch.Tensor, torch.Tensor]:
    frames = len(arrays[0])
    with torch.inference_mode():
        found = extractor.forward(torch.from_numpy(np.concatenate(arrays)).to(device))
        cls, patch_mean = (_pooled(values.float(), frames, pooling) for values in found)
    return cls.cpu(), patch_mean.cpu()


def extract(
    extractor: Extractor,
    *,
    split: Split,
    batch_size: int,
    num_threads: int,
    device: str,
    label: str,
    frames: int = FRAMES,
    pooling: Pooling = "mean",
) -> Features:
    """Compute the features of every readable image of a split, in the split's order.

    Args:
        extractor: How to prepare an image, and how to map a batch on `device` to features.
        split: Images, or clips.
        batch_size: Images, or clips, per forward pass.
        num_threads: Decoder threads; changes speed only.
        device: Where the forward pass runs.
        label: Word for the progress line.
        frames: T, frames read of a clip, evenly spaced.
        pooling: Features of a clip are the mean over its frames, or all of them side by side.

    Raises:
        InputError: no image of the split can be read.
    """
    unreadable: Counter[str] = Counter()
    kept: tuple[torch.Tensor, ...] = ()
    rows: list[int] = []
    prepared = decoded(split, extractor.prepare, num_threads=num_threads, frames=frames)
    progress = track(prepared, total=len(split.images), label=label, unit="images")
    readable = _readable(progress, unreadable)
    while batch := list(itertools.islice(readable, batch_size)):
        found = _forward(extractor, [array for _, array in batch], device, pooling)
        if not rows:  # room for all at once: parts would be there twice when they are joined
            kept = tuple(v.new_empty((len(split.images), *v.shape[1:])) for v in found)
        part = slice(len(rows), len(rows) + len(batch))
        for whole, values in zip(kept, found, strict=True):
            whole[part] = values
        rows += [row for row, _ in batch]
    if not rows:
        found = f"none of {len(split.images)} ({dict(unreadable)})"
        first = str(split.images[0]) if split.images else label
        raise InputError(first, expected="readable images", found=found, fix="check the files")
    cls, patch_means = (whole[: len(rows)] for whole in kept)
    return Features(cls, patch_means, torch.tensor(rows), dict(unreadable))


def save_features(
    features: Mapping[str, Features],
    path: Path,
    *,
    splits: Mapping[str, Split],
    stamp: Mapping[str, str],
) -> None:
    """Write the features of a dataset's splits, in half precision, atomically.

    Args:
        features: By the split's name.
        path: safetensors file to write.
        splits: What they were computed from; its listing's fingerprint is kept.
        stamp: Provenance from `io.stamp`.
    """
    tensors, metadata = {}, dict(stamp)
    for name, one in features.items():
        tensors[f"{name}.cls"] = one.cls.half()
        tensors[f"{name}.patch_mean"] = one.patch_mean.half()
        tensors[f"{name}.rows"] = one.rows
        metadata[f"{name}.unreadable"] = json.dumps(one.unreadable, sort_keys=True)
        metadata[f"{name}.listing"] = fingerprint(splits[name])
    with io.replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def load_features(path: Path, *, splits: Mapping[str, Split]) -> dict[str, Features]:
    """Read the features of a dataset's splits.

    Args:
        path: File that `save_features` wrote.
        splits: The same listing.

    Raises:
        InputError: not such a file, or the dataset's files are no longer the same.
    """
    fix = "run extract again"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # junk makes the reader fail in any way
        found = str(error).splitlines()[0]
        raise InputError(path, expected="features", found=found, fix=fix) from None
    result = {}
    for name, split in splits.items():
        if metadata.get(f"{name}.listing") != fingerprint(split):
            expected, found = f"features of the {name} split's images", "those of other images"
            raise InputError(path, expected=expected, found=found, fix=fix)
        cls, patch_mean, rows = (tensors[f"{name}.{part}"] for part in PARTS)
        unreadable = json.loads(metadata[f"{name}.unreadable"])
        result[name] = Features(cls, patch_mean, rows, unreadable)
    return result
