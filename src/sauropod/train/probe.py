"""The online probe: k-NN accuracy of the network in training, on labelled images.

Shapes: n images of a split, S side of the crop, D width of the backbone.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Split
from sauropod.evaluate.datasets.image_folder import read_image_folder
from sauropod.evaluate.features import decoded
from sauropod.evaluate.knn import knn_probabilities
from sauropod.evaluate.scores import accuracy
from sauropod.models.vit import VisionTransformer
from sauropod.train.augment import eval_crop, normalise

LIMIT = 2000
"""Images per split: 300 MB of crops at 224 px, and a few seconds per probe on one GPU."""
NEIGHBOURS = 10
BATCH = 64
RESIZE = 256 / 224
"""Short side before the crop, of the crop's side."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """Crops of a split: pixels (n, 3, S, S) uint8, labels (n,) int64, on the CPU."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Benchmark:
    """A labelled set in memory."""

    num_classes: int
    train: Labelled
    val: Labelled


class Probe:
    """Labelled image folders, decoded once; called with a backbone it measures each of them.

    Equal weights give equal accuracies. Every rank computes everything, so that a sharded backbone
    is called equally often on all of them.
    """

    def __init__(
        self, folders: Sequence[Path], *, crop: int, limit: int = LIMIT, num_threads: int = 4
    ) -> None:
        """Read and crop the images.

        Args:
            folders: Each laid out as {train,val}/<class>/<image>; its name names the column.
            crop: S, a multiple of the backbone's patch size, pixels.
            limit: Most images per split, see `subset`.
            num_threads: Decoder threads; changes speed only.

        Raises:
            InputError: a folder is not laid out so, has no readable image, or shares its name.
        """
        self._sets: dict[str, Benchmark] = {}
        for folder in folders:
            name = folder.resolve().name
            if name in self._sets:
                found, fix = f"a second {name}", "rename one of them, or link it under another name"
                raise InputError(
                    folder, expected="folders of different names", found=found, fix=fix
                )
            images = read_image_folder(folder)
            train, val = (
                _load(subset(split, limit=limit), crop=crop, num_threads=num_threads)
                for split in (images.splits[TRAIN], images.splits[TEST])
            )
            self._sets[name] = Benchmark(len(images.classes), train, val)

    @torch.no_grad()
    def __call__(
        self,
        backbones: Mapping[str, VisionTransformer],
        *,
        device: torch.device,
        dtype: torch.dtype | None = None,
    ) -> dict[str, float]:
        """Measure backbones, whose modes are put back afterwards.

        Args:
            backbones: By what their columns' names begin with, "" or "<student>/". On `device`;
                may be sharded, then every rank calls this.
            device: Where everything runs.
            dtype: Of autocast; None computes in float32.

        Returns:
            `probe/<folder>` or `probe/<student>/<folder>`: top-1 accuracy (0..1) of a weighted vote
            of the 10 nearest neighbours.
        """
        found = {}
        for owner, backbone in backbones.items():
            training = backbone.training
            backbone.eval()
            for name, images in self._sets.items():
                train, val = (
                    _embed(backbone, split.pixels, device=device, dtype=dtype)
                    for split in (images.train, images.val)
                )
                votes = knn_probabilities(
                    train,
                    labels=images.train.labels,
                    test=val,
                    num_classes=images.num_classes,
                    ks=(NEIGHBOURS,),
                )
                found[f"probe/{owner}{name}"] = accuracy(votes[NEIGHBOURS], images.val.labels)
            backbone.train(training)
        return found


def subset(split: Split, *, limit: int) -> Split:
    """At most `limit` images: as many of every class, spaced evenly in the sorted class.

    With fewer images allowed than there are classes, one image each of evenly spaced classes.
    """
    if len(split.images) <= limit:
        return split
    classes = np.unique(split.labels)
    classes = classes[_spaced(len(classes), limit)]
    members = [np.flatnonzero(split.labels == label) for label in classes]
    chosen = np.concatenate([rows[_spaced(len(rows), limit // len(classes))] for rows in members])
    return Split(tuple(split.images[i] for i in chosen), split.labels[chosen])


def _spaced(count: int, wanted: int) -> np.ndarray:
    """Up to `wanted` of `count` positions, evenly spaced, ascending."""
    wanted = min(count, wanted)
    return np.arange(wanted) * count // wanted


def _load(split: Split, *, crop: int, num_threads: int) -> Labelled:
    def prepare(image: Image.Image) -> np.ndarray:
        return eval_crop(image, resize=round(crop * RESIZE), crop=crop)

    pixels, labels, unreadable = [], [], Counter()
    prepared = decoded(split, prepare, num_threads=num_threads)
    for found, label in zip(prepared, split.labels.tolist(), strict=True):
        if isinstance(found, str):
            unreadable[found] += 1
            continue
        pixels.append(found[0])
        labels.append(label)
    folder = Path(str(split.images[0])).parent.parent
    if not pixels:
        found, fix = f"none of {len(split.images)} ({dict(unreadable)})", "check the files"
        raise InputError(folder, expected="readable images", found=found, fix=fix)
    if unreadable:
        logger.warning("%s: probed without unreadable images: %s", folder, dict(unreadable))
    return Labelled(torch.from_numpy(np.stack(pixels)), torch.tensor(labels))


def _embed(
    backbone: VisionTransformer, pixels: Tensor, *, device: torch.device, dtype: torch.dtype | None
) -> Tensor:
    """(n, 3, S, S) uint8 -> (n, D) float32 class tokens on the device."""
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        tokens = [
            backbone.forward_features([normalise(part.to(device))])[0].cls_token
            for part in pixels.split(BATCH)
        ]
    return torch.cat(tokens).float()
