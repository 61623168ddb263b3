"""What every reader returns: images or clips, their labels, and what else is known of them.

Shapes: n images of a split, C classes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from PIL import Image

TRAIN, TEST = "train", "test"

Metric = Literal["top1", "mean_per_class", "mean_ap", "any_of"]
"""What a dataset is reported by: accuracy, mean of the classes' accuracies, 11-point mean AP, or
the share of images whose best class is one of theirs."""


class Readable(Protocol):
    """An image, or a clip, somewhere: a `Path`, a member of a tar, a cell of a table."""

    def read_bytes(self) -> bytes:
        """The encoded image."""
        ...


@runtime_checkable
class Clip(Protocol):
    """A video, in a file or as a folder of frames."""

    def read_frames(self, count: int) -> list[Image.Image]:
        """As many frames, evenly spaced.

        Raises:
            ImageError: with the status the clip's row gets.
        """
        ...


@dataclass(frozen=True)
class Split:
    """One split: images in a fixed order, and their labels.

    `labels`: class numbers, int64 (n,); or, where an image may have several classes, int8 (n, C): 1
    has it, 0 has it not, -1 does not count.
    `groups`: further facts, each (n,) strings, by which accuracies are told apart.
    """

    images: Sequence[Readable] | Sequence[Clip]
    labels: np.ndarray
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A labelled set: class names (a label is an index), splits, and the metric it is known by."""

    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    metric: Metric = "top1"
    pooling: Literal["mean", "concat"] = "mean"
    """Features of a clip: the mean over its frames, or all of them side by side."""


def fingerprint(split: Split) -> str:
    """SHA-256 of the images' names in their order: features belong to exactly this listing."""
    digest = hashlib.sha256()
    for image in split.images:
        digest.update(str(image).encode() + b"\0")
    return digest.hexdigest()
