"""ImageNet-1k and the sets that share its classes: ReaL, V2, A, R, Sketch, C.

ImageNet   {train,val}/<wnid>/*.JPEG
ReaL       the same, and real.json beside (a list of classes per validation image, by number)
V2         <0 ... 999>/*.jpeg, numbers of the sorted wnids
A, R, Sketch   <wnid>/*
C          <corruption>/<severity>/<wnid>/*.JPEG
"""

import re
from pathlib import Path

import numpy as np

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import TEST, Dataset, Split
from sauropod.evaluate.datasets.image_folder import read_image_folder
from sauropod.evaluate.datasets.pieces import class_folders, document, files_in

GET = "lay ImageNet-1k (image-net.org, ILSVRC2012) out as {train,val}/<wnid>/<image>"
GET_REAL = "take real.json from github.com/google-research/reassessed-imagenet"
GET_FOLDERS = "unpack the set so that it has one folder per class"
GET_C = "unpack ImageNet-C (zenodo.org/records/2235448) as <corruption>/<severity>/<wnid>/<image>"

_VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})")


def read_imagenet(root: Path) -> Dataset:
    """ImageNet-1k, training and validation images."""
    return read_image_folder(root, train="train", test="val")


def read_real(root: Path) -> Dataset:
    """Validation images with the labels of Beyer et al. 2020, of which an image may have several.

    Images that they found to have no class of the 1000 are left out.

    Raises:
        InputError: real.json is missing, or too short for an image's number.
    """
    classes = class_folders(root / "val", get=GET)
    told = document(root / "real.json", get=GET_REAL)
    images, labels = [], []
    for name in classes:
        for path in files_in(root / "val" / name):
            match = _VALIDATION.match(path.name)
            number = int(match[1]) if match else 0
            if not 1 <= number <= len(told):
                expected = f"names ILSVRC2012_val_00000001 ... {len(told):08d}"
                raise InputError(path, expected=expected, found=path.name, fix=GET)
            if told[number - 1]:
                images.append(path)
                labels.append(told[number - 1])
    table = np.zeros((len(images), len(classes)), dtype=np.int8)
    for row, numbers in zip(table, labels, strict=True):
        row[[number for number in numbers if number < len(classes)]] = 1
    return Dataset(tuple(classes), {TEST: Split(tuple(images), table)}, metric="any_of")


def read_class_folders(root: Path) -> Dataset:
    """Test images only, one folder per class: ImageNet-A, R, Sketch and V2."""
    classes = class_folders(root, get=GET_FOLDERS)
    pairs = [(path, k) for k, name in enumerate(classes) for path in files_in(root / name)]
    if not pairs:
        raise InputError(root, expected="images", found="none", fix=GET_FOLDERS)
    images, labels = zip(*pairs, strict=True)
    return Dataset(tuple(classes), {TEST: Split(images, np.asarray(labels, dtype=np.int64))})


def read_corrupted(root: Path) -> Dataset:
    """ImageNet-C: groups `corruption` and `severity` of every image.

    Raises:
        InputError: a corruption without severities, or severities of other classes.
    """
    images, labels, groups = [], [], []
    classes: list[str] = []
    for corruption in class_folders(root, get=GET_C):
        for severity in class_folders(root / corruption, get=GET_C):
            folder = root / corruption / severity
            names = class_folders(folder, get=GET_C)
            classes = classes or names
            if names != classes:
                odd = sorted(set(names) ^ set(classes))[0]
                expected = f"the {len(classes)} classes of the others"
                raise InputError(folder, expected=expected, found=f"{odd} differs", fix=GET_C)
            for label, name in enumerate(names):
                found = files_in(folder / name)
                images += found
                labels += [label] * len(found)
                groups += [(corruption, severity)] * len(found)
    corruptions, severities = np.asarray(groups).T
    told = {"corruption": corruptions, "severity": severities}
    return Dataset(tuple(classes), {TEST: Split(tuple(images), np.asarray(labels), told)})
