"""Labelled image folders: `{train,val}/<class>/<image>`, the layout benchmark sets come in."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset, Split

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def _class_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise InputError(
            folder,
            expected="a folder with one folder per class",
            found="no such folder",
            fix="give a dataset laid out as {train,val}/<class>/<image>",
        )
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )


def _read_split(folder: Path, classes: Sequence[str]) -> Split:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        images = sorted(
            path for path in (folder / name).iterdir() if path.suffix.lower() in SUFFIXES
        )
        if not images:
            raise InputError(
                folder / name,
                expected="images of this class",
                found="none",
                fix="put images there, or remove the class from both splits",
            )
        paths += images
        labels += [label] * len(images)
    return Split(tuple(paths), np.asarray(labels, dtype=np.int64))


def read_image_folder(root: Path, *, train: str = "train", test: str = "val") -> Dataset:
    """List a dataset laid out as `{train,val}/<class>/<image>`; no image is opened.

    Args:
        root: The dataset's folder.
        train: Folder of the training split inside it.
        test: Folder of the split that is measured on.

    Raises:
        InputError: a split or a class is missing or empty, or only one split has a class.
    """
    names = {split: _class_names(root / split) for split in (train, test)}
    for split, other in ((train, test), (test, train)):
        if not names[split]:
            raise InputError(
                root / split,
                expected="one folder per class",
                found="none",
                fix="give a dataset laid out as {train,val}/<class>/<image>",
            )
        if missing := sorted(set(names[other]) - set(names[split])):
            raise InputError(
                root / split,
                expected=f"the classes of {other}/",
                found=f"no folder {', '.join(missing[:5])}",
                fix=f"add the missing classes, or remove them from {other}/",
            )
    classes = tuple(names[train])
    splits = {TRAIN: _read_split(root / train, classes), TEST: _read_split(root / test, classes)}
    return Dataset(classes, splits)
