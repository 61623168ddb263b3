"""PASCAL VOC 2007 (several classes per image) and Caltech-101 (30 training images per class)."""

from pathlib import Path

import numpy as np

from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset, Split
from sauropod.evaluate.datasets.pieces import class_folders, files_in, need, rows, split_of

TRAINING_IMAGES = 30


def read_voc2007(root: Path) -> Dataset:
    """VOC 2007 classification: JPEGImages/*.jpg, ImageSets/Main/<class>_{trainval,test}.txt.

    Labels int8 (n, C): 1 the class is there, 0 it is not, -1 it is, but too difficult to count.
    """
    get = "unpack VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar (host.robots.ox.ac.uk)"
    inner = root / "VOCdevkit" / "VOC2007"
    root = inner if inner.is_dir() else root
    lists = need(root / "ImageSets" / "Main", get=get)
    found = {path.stem.rpartition("_")[0] for path in lists.glob("*_trainval.txt")}
    classes = sorted(found)
    splits = {}
    for split, name in ((TRAIN, "trainval"), (TEST, "test")):
        keys = [words[0] for words in rows(lists / f"{name}.txt", get=get)]
        table = np.zeros((len(keys), len(classes)), dtype=np.int8)
        place = {key: row for row, key in enumerate(keys)}
        for column, label in enumerate(classes):
            for key, value, *_ in rows(lists / f"{label}_{name}.txt", get=get, columns=2):
                table[place[key], column] = {"1": 1, "0": -1}.get(value, 0)
        images = tuple(root / "JPEGImages" / f"{key}.jpg" for key in keys)
        splits[split] = Split(images, table)
    return Dataset(tuple(classes), splits, metric="mean_ap")


def read_caltech101(root: Path) -> Dataset:
    """Caltech-101: 101_ObjectCategories/<class>/*.jpg without the background class.

    There is no official split: 30 images of every class, drawn by a fixed key, train.
    """
    get = "unpack caltech-101.zip (data.caltech.edu)"
    inner = root / "101_ObjectCategories"
    root = inner if inner.is_dir() else root
    classes = [name for name in class_folders(root, get=get) if name != "BACKGROUND_Google"]
    parts: dict[str, list[tuple[Path, int]]] = {TRAIN: [], TEST: []}
    for label, name in enumerate(classes):
        files = files_in(root / name)
        order = np.random.Generator(np.random.Philox(key=[0, label])).permutation(len(files))
        for place, row in enumerate(order):
            parts[TRAIN if place < TRAINING_IMAGES else TEST].append((files[row], label))
    splits = {
        split: split_of([p for p, _ in pairs], [k for _, k in pairs], where=root)
        for split, pairs in parts.items()
    }
    return Dataset(tuple(classes), splits, metric="mean_per_class")
