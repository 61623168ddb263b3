"""Depth sets in their official layouts: pairs of images and depth maps, and their protocols.

`nyu` and `kitti` are lists of `image depth focal` in the layout of BTS and of the monocular depth
toolbox, `pairs` either {train,test}.txt like NYU's or {train,val}/{rgb,depth}; SUN RGB-D, for tests
alone, is the toolbox's list of 5,050 images. Listing opens no image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sauropod.errors import InputError
from sauropod.evaluate.datasets.image_folder import SUFFIXES
from sauropod.evaluate.dense.config import Depth
from sauropod.evaluate.dense.depth_metrics import Area
from sauropod.evaluate.dense.maps import UNEQUAL_SIZE, read_depth, read_image
from sauropod.evaluate.dense.pairs import Pair, found_pairs
from sauropod.images import ImageError

Layout = Literal["nyu", "kitti", "pairs"]

KB_HEIGHT, KB_WIDTH = 352, 1216
NYU_ROWS, NYU_COLUMNS = slice(45, 472), slice(43, 608)
MAP_SUFFIXES = (".png", ".npy", ".tif", ".tiff")


@dataclass(frozen=True)
class Protocol:
    """How a set's maps are read, cut and counted."""

    scale: float
    """Units per metre."""
    max_depth: float
    """Greatest depth that a head says and that counts, metres."""
    area: Area
    """Part of a test image that counts."""
    crop: tuple[int, int]
    """Height and width of training crops, pixels."""
    train_cut: Literal["whole", "nyu", "kb"] = "whole"
    """What is kept of a training image: NYU's frame, or KITTI's bottom 352 x 1216."""
    test_cut: Literal["whole", "kb"] = "whole"
    """What is kept of a test image."""
    brightness: tuple[float, float] = (0.75, 1.25)
    """Range of the brightness factor in training."""
    rotated_bits: bool = False
    """The files hold millimetres with their 16 bits rotated (SUN RGB-D)."""
    test_size: tuple[int, int] | None = None
    """Height and width that test images are resized to; None leaves them."""
    ceiling: float = math.inf
    """Depth that truth and prediction are cut to before they are compared, metres."""


NYU = Protocol(1000, 10, "nyu", (416, 544), train_cut="nyu")
KITTI = Protocol(256, 80, "garg", (352, 704), "kb", "kb", brightness=(0.9, 1.1))
SUN = Protocol(1000, 10, "nyu", (416, 544), rotated_bits=True, test_size=(480, 640), ceiling=8)


@dataclass(frozen=True)
class DepthSet:
    """Two splits and their protocol."""

    protocol: Protocol
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]

    def read(self, pair: Pair, *, training: bool) -> tuple[np.ndarray, np.ndarray]:
        """Decode an image (H, W, 3) uint8 and its metres (H, W) float32, cut by the protocol.

        Raises:
            ImageError: one cannot be read, they differ in size, or nothing was measured.
        """
        image = read_image(pair.image)
        metres = read_depth(
            pair.truth, scale=self.protocol.scale, rotated=self.protocol.rotated_bits
        )
        if image.shape[:2] != metres.shape:
            raise ImageError(UNEQUAL_SIZE)
        place = self._kept(metres.shape, training=training)
        image, metres = image[place], metres[place]
        if not metres.size:
            raise ImageError(UNEQUAL_SIZE)  # smaller than the frame of its set
        return image, metres

    def _kept(self, shape: tuple[int, ...], *, training: bool) -> tuple[slice, slice]:
        cut = self.protocol.train_cut if training else self.protocol.test_cut
        if cut == "nyu":
            return NYU_ROWS, NYU_COLUMNS
        if cut == "kb":
            top, left = max(shape[0] - KB_HEIGHT, 0), max(shape[1] - KB_WIDTH, 0) // 2
            return slice(top, top + KB_HEIGHT), slice(left, left + KB_WIDTH)
        return slice(None), slice(None)


def own_protocol(knobs: Depth) -> Protocol:
    """Protocol of a set without a published one: all of every image counts."""
    return Protocol(knobs.scale, knobs.max_depth, "whole", knobs.crop_size)


def read_depth_set(root: Path, *, layout: Layout, own: Protocol) -> DepthSet:
    """List a depth set.

    Args:
        root: The set's folder.
        layout: How it is laid out.
        own: Protocol of the layout `pairs`; the others have theirs.

    Raises:
        InputError: a list or file is not where the layout has it, or a split is empty.
    """
    match layout:
        case "nyu":
            return DepthSet(NYU, _nyu(root, "train"), _nyu(root, "test"))
        case "kitti":
            return DepthSet(KITTI, _kitti(root, "train"), _kitti(root, "test"))
        case "pairs":
            return _own(root, own)


def read_sun_rgbd(root: Path) -> DepthSet:
    """List SUN RGB-D for a test of heads trained on NYU; it has no training split here.

    Raises:
        InputError: the list or a file is not there.
    """
    get = "unpack SUNRGBD.zip there and add the toolbox's SUNRGBD_val_splits.txt"
    listing = _list(root, ("SUNRGBD_val_splits.txt",), get=get)
    return DepthSet(SUN, (), _listed(listing, (root,), (root,), get=get))


def _nyu(root: Path, split: str) -> tuple[Pair, ...]:
    get = "unpack sync.zip and the official test split, and add the lists, as BTS describes it"
    names = (f"nyu_{split}.txt", f"nyudepthv2_{split}_files_with_gt.txt")
    folders = (root, root / "sync", root / "official_splits" / "test")
    return _listed(_list(root, names, get=get), folders, folders, get=get)


def _kitti(root: Path, split: str) -> tuple[Pair, ...]:
    get = "unpack KITTI's raw data to input/ and data_depth_annotated to gt_depth/, add the lists"
    names = (f"kitti_eigen_{split}.txt", f"eigen_{split}_files_with_gt.txt")
    annotated = root / "data_depth_annotated"
    truths = (root / "gt_depth", annotated, annotated / "train", annotated / "val")
    images = (root / "input", root / "raw", root)
    return _listed(_list(root, names, get=get), images, truths, get=get)


def _list(root: Path, names: Sequence[str], *, get: str) -> Path:
    for name in names:
        if (root / name).is_file():
            return root / name
    expected = f"the list {' or '.join(names)}"
    raise InputError(root / names[0], expected=expected, found="no such file", fix=get)


def _listed(
    listing: Path, image_folders: Sequence[Path], truth_folders: Sequence[Path], *, get: str
) -> tuple[Pair, ...]:
    """Pairs of a list's lines `image depth [focal]`; a line whose depth is `None` has no truth."""
    pairs = []
    for number, line in enumerate(listing.read_text().splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2:
            expected = "`image depth focal` on every line"
            found = f"{line!r} on line {number}"
            raise InputError(listing, expected=expected, found=found, fix=get)
        if words[1] != "None":
            image, truth = (word.lstrip("/\\") for word in words[:2])
            pairs.append(Pair(_place(image, image_folders), _place(truth, truth_folders)))
    return found_pairs(pairs, root=listing, layout="a list of images and depth maps", get=get)


def _place(name: str, folders: Sequence[Path]) -> Path:
    """Where a listed file is, or was expected."""
    return next(
        (folder / name for folder in folders if (folder / name).is_file()), folders[0] / name
    )


def _own(root: Path, own: Protocol) -> DepthSet:
    get = "lay the set out as {train,val}/{rgb,depth} or list it in {train,test}.txt"
    if (root / "train.txt").is_file():
        splits = [
            _listed(_list(root, (f"{split}.txt",), get=get), (root,), (root,), get=get)
            for split in ("train", "test")
        ]
        return DepthSet(own, *splits)
    splits = []
    for split in ("train", "val"):
        folder = root / split / "rgb"
        images = sorted(folder.iterdir()) if folder.is_dir() else []
        pairs = [
            Pair(path, _map_of(path, root / split / "depth"))
            for path in images
            if path.suffix.lower() in SUFFIXES
        ]
        layout = f"{split}/rgb/* and {split}/depth/*"
        splits.append(found_pairs(pairs, root=folder, layout=layout, get=get))
    return DepthSet(own, *splits)


def _map_of(image: Path, folder: Path) -> Path:
    named = [folder / f"{image.stem}{suffix}" for suffix in MAP_SUFFIXES]
    return next((path for path in named if path.is_file()), named[0])
