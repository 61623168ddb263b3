"""The pieces of a dataset: each is there, or one sentence says which, where, and how to get it."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import Split

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def need(path: Path, *, get: str) -> Path:
    """The path, which must exist.

    Args:
        path: File or folder of the official layout.
        get: How to get it.

    Raises:
        InputError: there is nothing.
    """
    if not path.exists():
        kind = "a file" if path.suffix else "a folder"
        raise InputError(path, expected=f"{kind} of the dataset", found="none", fix=get)
    return path


def first_of(*paths: Path, get: str) -> Path:
    """The first of several places that exists.

    Raises:
        InputError: none does; it names the first.
    """
    return next((path for path in paths if path.exists()), None) or need(paths[0], get=get)


def rows(path: Path, *, get: str, columns: int = 1) -> list[list[str]]:
    """Words of every line of a text file, blank lines left out.

    Raises:
        InputError: no such file, or a line of fewer words than `columns`.
    """
    lines = need(path, get=get).read_text(errors="replace").splitlines()
    found = [line.split() for line in lines if line.strip()]
    for number, words in enumerate(found, start=1):
        if len(words) < columns:
            expected = f"{columns} words on line {number}"
            raise InputError(path, expected=expected, found=" ".join(words), fix=get)
    return found


def document(path: Path, *, get: str) -> Any:  # noqa: ANN401 - as the file has it
    """A JSON document.

    Raises:
        InputError: no such file, or no JSON.
    """
    try:
        return json.loads(need(path, get=get).read_text())
    except ValueError as error:
        raise InputError(path, expected="JSON", found=str(error), fix=get) from None


def class_folders(root: Path, *, get: str) -> list[str]:
    """Sorted names of the folders in a folder.

    Raises:
        InputError: there is none.
    """
    entries = need(root, get=get).iterdir()
    names = sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")
    if not names:
        raise InputError(root, expected="one folder per class", found="none", fix=get)
    return names


def files_in(folder: Path, suffixes: Iterable[str] = SUFFIXES) -> list[Path]:
    """Files of a folder that end so, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)


def numbered(names: Sequence[str], classes: Sequence[str], *, where: Path, get: str) -> np.ndarray:
    """Class numbers int64 (n,) of class names.

    Raises:
        InputError: a name that is none of the classes.
    """
    place = {name: number for number, name in enumerate(classes)}
    if unknown := next((name for name in names if name not in place), None):
        expected = f"one of {len(classes)} classes"
        raise InputError(where, expected=expected, found=repr(unknown), fix=get)
    return np.asarray([place[name] for name in names], dtype=np.int64)


def split_of(images: Sequence[Path], labels: Sequence[int] | np.ndarray, *, where: Path) -> Split:
    """A split, which must not be empty.

    Raises:
        InputError: no image.
    """
    if not len(images):
        fix = "give a complete copy of the dataset"
        raise InputError(where, expected="images of a split", found="none", fix=fix)
    return Split(tuple(images), np.asarray(labels, dtype=np.int64))
