"""Sets that keep images or lists as arrays: CIFAR (pickles), Cars and Flowers (MATLAB files).

Pickles are read as plain data, never executed.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset, Split
from sauropod.evaluate.datasets.pieces import first_of, need, split_of
from sauropod.evaluate.plain_pickle import PickledArray, read_plain


@dataclass(frozen=True, repr=False)
class Pixels:
    """An image in memory: uint8 (3, H, W)."""

    name: str
    values: np.ndarray

    def read_bytes(self) -> bytes:
        """The image as BMP, which loses nothing."""
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(self.values.transpose(1, 2, 0))).save(buffer, "BMP")
        return buffer.getvalue()

    def __str__(self) -> str:
        """Where it came from."""
        return self.name


def _cifar_split(paths: list[Path], key: str, *, get: str) -> Split:
    images, labels = [], []
    for path in paths:
        batch: Any = read_plain(need(path, get=get))
        try:
            data = batch["data"]
            pixels = data.array if isinstance(data, PickledArray) else np.asarray(data)
            pixels = pixels.astype(np.uint8, copy=False).reshape(-1, 3, 32, 32)
            labels += [int(label) for label in batch[key]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            expected, found = f"`data` and `{key}` of CIFAR", f"{type(error).__name__}: {error}"
            raise InputError(path, expected=expected, found=found, fix=get) from None
        images += [Pixels(f"{path}[{row}]", values) for row, values in enumerate(pixels)]
    if len(images) != len(labels):
        expected, found = f"{len(images)} labels", str(len(labels))
        raise InputError(paths[0], expected=expected, found=found, fix=get)
    return Split(tuple(images), np.asarray(labels, dtype=np.int64))


def read_cifar(root: Path, *, classes: int) -> Dataset:
    """CIFAR-10 (data_batch_1 ... 5, test_batch, batches.meta) or -100 (train, test, meta)."""
    get = f"unpack cifar-{classes}-python.tar.gz (cs.toronto.edu/~kriz)"
    folder = "cifar-10-batches-py" if classes == 10 else "cifar-100-python"
    root = root / folder if (root / folder).is_dir() else root
    if classes == 10:
        train, test = [root / f"data_batch_{k}" for k in range(1, 6)], [root / "test_batch"]
        key, meta, names = "labels", "batches.meta", "label_names"
    else:
        train, test = [root / "train"], [root / "test"]
        key, meta, names = "fine_labels", "meta", "fine_label_names"
    told: Any = read_plain(need(root / meta, get=get))
    splits = {
        TRAIN: _cifar_split(train, key, get=get),
        TEST: _cifar_split(test, key, get=get),
    }
    return Dataset(tuple(map(str, told[names])), splits)


def _matlab(path: Path, *, get: str) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        return loadmat(need(path, get=get), squeeze_me=True)
    except (ValueError, NotImplementedError, OSError) as error:
        raise InputError(path, expected="a MATLAB file", found=str(error), fix=get) from None


def read_cars(root: Path) -> Dataset:
    """Stanford Cars: cars_{train,test}/*.jpg, devkit/cars_{meta,train_annos}.mat, test labels."""
    get = "unpack cars_train, cars_test, car_devkit and cars_test_annos_withlabels.mat"
    devkit, told = root / "devkit", "cars_test_annos_withlabels.mat"
    annotations = {
        TRAIN: devkit / "cars_train_annos.mat",
        TEST: first_of(root / told, devkit / told, get=get),
    }
    classes = tuple(map(str, _matlab(devkit / "cars_meta.mat", get=get)["class_names"]))
    splits = {}
    for split, path in annotations.items():
        found = np.atleast_1d(_matlab(path, get=get)["annotations"])
        images = [root / f"cars_{split}" / str(one["fname"]) for one in found]
        splits[split] = split_of(images, [int(one["class"]) - 1 for one in found], where=path)
    return Dataset(classes, splits)


def read_flowers102(root: Path) -> Dataset:
    """Oxford flowers: jpg/image_00001.jpg ..., imagelabels.mat, setid.mat (train + validation)."""
    get = "unpack 102flowers.tgz beside imagelabels.mat and setid.mat (robots.ox.ac.uk)"
    labels = np.atleast_1d(_matlab(root / "imagelabels.mat", get=get)["labels"]).astype(np.int64)
    sets = _matlab(root / "setid.mat", get=get)
    parts = {TRAIN: ("trnid", "valid"), TEST: ("tstid",)}
    splits = {}
    for split, keys in parts.items():
        ids = np.concatenate([np.atleast_1d(sets[key]) for key in keys]).astype(np.int64)
        images = [root / "jpg" / f"image_{number:05d}.jpg" for number in ids]
        splits[split] = split_of(images, labels[ids - 1] - 1, where=root / "setid.mat")
    classes = tuple(str(k) for k in range(1, int(labels.max()) + 1))
    return Dataset(classes, splits, metric="mean_per_class")
