"""Segmentation sets in their official layouts: pairs of images and label maps, and their classes.

`ade20k` (ADEChallengeData2016), `cityscapes` (leftImg8bit, gtFine), `voc2012` (VOCdevkit/VOC2012
with the augmented training list) and `pairs`: {train,val}/{images,masks} and classes.txt. Listing
opens no image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sauropod.errors import InputError
from sauropod.evaluate.datasets.image_folder import SUFFIXES
from sauropod.evaluate.dense.maps import NO_LABEL, UNEQUAL_SIZE, UNKNOWN_LABEL, read_image, read_map
from sauropod.evaluate.dense.miou import IGNORED
from sauropod.evaluate.dense.pairs import Pair, found_pairs
from sauropod.images import ImageError

Layout = Literal["ade20k", "cityscapes", "voc2012", "pairs"]

VOID = 255
"""Label that every set ignores."""
LABELS = 256
IGNORED_NAME = "ignored"

CITYSCAPES = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
CITYSCAPES_LABELS = 34
VOC = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]

_UNKNOWN = -2


@dataclass(frozen=True)
class SegmentationSet:
    """Two splits, the class names, and which label in the files is which class."""

    classes: tuple[str, ...]
    """Name of every class number."""
    numbers: np.ndarray
    """(256,) int16: class number of a label, `IGNORED`, or below it for a label unknown."""
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]

    def read(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Decode an image (H, W, 3) uint8 and its class numbers (H, W) int16.

        Raises:
            ImageError: one cannot be read, they differ in size, or the map has a label that the
                set does not know or none that counts.
        """
        image, labels = read_image(pair.image), read_map(pair.truth)
        if image.shape[:2] != labels.shape:
            raise ImageError(UNEQUAL_SIZE)
        if labels.dtype.kind not in "biu" or labels.min() < 0 or labels.max() >= LABELS:
            raise ImageError(UNKNOWN_LABEL)
        numbers = self.numbers[labels.astype(np.uint8)]
        if (numbers == _UNKNOWN).any():
            raise ImageError(UNKNOWN_LABEL)
        if (numbers == IGNORED).all():
            raise ImageError(NO_LABEL)
        return image, numbers


def read_segmentation(root: Path, *, layout: Layout) -> SegmentationSet:
    """List a segmentation set.

    Args:
        root: The set's folder, or the one it was unpacked in.
        layout: How it is laid out.

    Raises:
        InputError: a file or folder is not where the layout has it, or a split is empty.
    """
    match layout:
        case "ade20k":
            return _ade20k(_inside(root, "ADEChallengeData2016"))
        case "cityscapes":
            return _cityscapes(root)
        case "voc2012":
            return _voc2012(_inside(_inside(root, "VOCdevkit"), "VOC2012"))
        case "pairs":
            return _own(root)


def _inside(root: Path, name: str) -> Path:
    return root / name if (root / name).is_dir() else root


def _numbers(known: Mapping[int, int], *, ignored: Sequence[int] = ()) -> np.ndarray:
    numbers = np.full(LABELS, _UNKNOWN, dtype=np.int16)
    numbers[[VOID, *ignored]] = IGNORED
    for label, number in known.items():
        numbers[label] = number
    return numbers


def _lines(path: Path, *, expected: str, get: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise InputError(path, expected=expected, found="no such file", fix=get) from None
    except UnicodeDecodeError:
        raise InputError(path, expected=expected, found="no UTF-8 text", fix=get) from None
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _images(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def _ade20k(root: Path) -> SegmentationSet:
    get = "unpack ADEChallengeData2016.zip from the MIT Scene Parsing Benchmark there"
    listing = root / "objectInfo150.txt"
    if not listing.is_file() and (root / "objectInfo.txt").is_file():
        listing = root / "objectInfo.txt"  # a set of other classes in this layout
    rows = [
        line.split("\t") for line in _lines(listing, expected="the list of classes", get=get)[1:]
    ]
    if not rows or [row[0].strip() for row in rows] != [str(k + 1) for k in range(len(rows))]:
        expected = "tab-separated rows numbered from 1 below a header"
        raise InputError(listing, expected=expected, found=f"{len(rows)} other rows", fix=get)
    splits = []
    for split in ("training", "validation"):
        folder, masks = root / "images" / split, root / "annotations" / split
        pairs = [Pair(path, masks / f"{path.stem}.png") for path in _images(folder)]
        layout = f"images/{split}/*.jpg and annotations/{split}/*.png"
        splits.append(found_pairs(pairs, root=folder, layout=layout, get=get))
    numbers = _numbers({k + 1: k for k in range(len(rows))}, ignored=[0])
    return SegmentationSet(tuple(row[-1].strip() for row in rows), numbers, *splits)


def _cityscapes(root: Path) -> SegmentationSet:
    get = "unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of Cityscapes there"
    splits = []
    for split in ("train", "val"):
        folder, masks = root / "leftImg8bit" / split, root / "gtFine" / split
        ending = "_leftImg8bit"
        pairs = [
            Pair(
                path, masks / path.parent.name / f"{path.stem[: -len(ending)]}_gtFine_labelIds.png"
            )
            for path in sorted(folder.glob(f"*/*{ending}.png"))
        ]
        layout = (
            f"leftImg8bit/{split}/<city>/*{ending}.png and gtFine/{split}/<city>/*_labelIds.png"
        )
        splits.append(found_pairs(pairs, root=folder, layout=layout, get=get))
    known = {label: number for number, label in enumerate(CITYSCAPES.values())}
    return SegmentationSet(
        tuple(CITYSCAPES), _numbers(known, ignored=range(CITYSCAPES_LABELS)), *splits
    )


def _voc2012(root: Path) -> SegmentationSet:
    lists = root / "ImageSets" / "Segmentation"
    get = "unpack VOCtrainval_11-May-2012.tar there"
    aug = (
        "add the lists and SegmentationClassAug of the augmented set (SBD, 10,582 images),"
        " or copy train.txt to trainaug.txt to train on the 1,464 images of VOC alone"
    )
    named = {
        name: _lines(lists / f"{name}.txt", expected="a list of image names", get=get)
        for name in ("train", "val")
    }
    whole = [lists / f"{name}.txt" for name in ("trainaug", "train_aug")]
    if any(path.is_file() for path in whole):
        path = next(path for path in whole if path.is_file())
        named["train"] = _lines(path, expected="a list of image names", get=aug)
    else:
        extra = _lines(lists / "aug.txt", expected="this list or trainaug.txt", get=aug)
        named["train"] = list(dict.fromkeys([*named["train"], *extra]))
    splits = []
    for split, fix in (("train", aug), ("val", get)):
        pairs = []
        for name in named[split]:
            mask = root / "SegmentationClass" / f"{name}.png"
            if not mask.is_file() and split == "train":
                mask = root / "SegmentationClassAug" / f"{name}.png"
            pairs.append(Pair(root / "JPEGImages" / f"{name}.jpg", mask))
        layout = "JPEGImages/*.jpg and SegmentationClass[Aug]/*.png"
        splits.append(found_pairs(pairs, root=root, layout=layout, get=fix))
    return SegmentationSet(tuple(VOC), _numbers({k: k for k in range(len(VOC))}), *splits)


def _own(root: Path) -> SegmentationSet:
    get = "lay the set out as {train,val}/{images,masks}, an image and its mask of the same name"
    fix = (
        f"write it: line k names label k, counted from 0; call what does not count `{IGNORED_NAME}`"
    )
    names = _lines(root / "classes.txt", expected="one class name per line", get=fix)
    kept = [label for label, name in enumerate(names) if name != IGNORED_NAME]
    if not kept or len(names) > VOID:
        found = f"{len(kept)} classes of {len(names)} names"
        expected = f"1 to {VOID} names"
        raise InputError(root / "classes.txt", expected=expected, found=found, fix=fix)
    splits = []
    for split in ("train", "val"):
        folder = root / split
        pairs = [
            Pair(path, folder / "masks" / f"{path.stem}.png") for path in _images(folder / "images")
        ]
        layout = f"{split}/images/* and {split}/masks/*.png"
        splits.append(found_pairs(pairs, root=folder / "images", layout=layout, get=get))
    numbers = _numbers(
        {label: number for number, label in enumerate(kept)},
        ignored=[k for k, name in enumerate(names) if name == IGNORED_NAME],
    )
    return SegmentationSet(tuple(names[label] for label in kept), numbers, *splits)
