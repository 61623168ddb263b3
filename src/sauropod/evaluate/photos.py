"""Lists of photos that benchmarks of retrieval are made of, and their features.

Shapes: n photos that can be read, D width.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sauropod import images
from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import Readable
from sauropod.evaluate.datasets.image_folder import SUFFIXES
from sauropod.evaluate.measured import Measured

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Cropped:
    """The part of an image file inside a box (left, top, right, bottom), pixels as stored."""

    path: Path
    box: Box

    def __str__(self) -> str:
        """Name the file and the box."""
        return f"{self.path} {self.box}"

    def read_bytes(self) -> bytes:
        """The cropped image, encoded without loss.

        Raises:
            ImageError: the file cannot be decoded.
        """
        part = images.decode(self.path.read_bytes()).crop(self.box)  # type: ignore[arg-type]
        buffer = BytesIO()
        part.save(buffer, "BMP")
        return buffer.getvalue()


class Embedded(NamedTuple):
    """What a model says of a list of photos; those that cannot be read are left out."""

    features: torch.Tensor
    """Unit length, float32 (n, D)."""
    kept: np.ndarray
    """Places in the list of the photos that can be read, ascending int64 (n,)."""
    count: int
    """Length of the list."""

    def head(self, count: int) -> "Embedded":
        """The same of the first `count` photos of the list."""
        known = int(np.searchsorted(self.kept, count))
        return Embedded(self.features[:known], self.kept[:known], count)


Embed = Callable[[Sequence[Readable]], Embedded]


def unreadable_rows(**lists: Embedded) -> list[Measured]:
    """How many photos of each list were left out, `unreadable_<list>`."""
    return [
        Measured(f"unreadable_{name}", part.count - len(part.kept), part.count, 0.0)
        for name, part in lists.items()
    ]


def photos_in(folder: Path, *, fix: str) -> tuple[Path, ...]:
    """The images of a folder, by name.

    Raises:
        InputError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise InputError(folder, expected="a folder of images", found="no such folder", fix=fix)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(folder, expected="a folder of images", found="no image", fix=fix)
    return tuple(paths)


def named_photos(folder: Path, names: Iterable[str], *, by: Path, fix: str) -> tuple[Path, ...]:
    """Images of a folder that a list names.

    Args:
        folder: Where they are.
        names: Paths inside it, with their endings.
        by: The list, for the complaint.
        fix: What to do about missing ones.

    Raises:
        InputError: the list is empty or names files that are not there.
    """
    paths = tuple(folder / name for name in names)
    if not paths:
        raise InputError(by, expected="names of images", found="none", fix=fix)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        expected = f"the {len(paths):,} images that {by.name} names"
        found = f"{len(missing):,} missing"
        raise InputError(missing[0], expected=expected, found=found, fix=fix)
    return paths
