"""Which pictures are looked at: files, or some of a folder's."""

import logging
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sauropod import images
from sauropod.errors import InputError
from sauropod.evaluate.datasets.image_folder import SUFFIXES

LEAST = 2
_FIX = "name two pictures or more of similar things, or a folder of them"


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
    if not path.is_file():
        raise InputError(path, expected="a picture or a folder", found="no such file", fix=_FIX)
    return [path]


def read_pictures(paths: Sequence[Path], *, count: int) -> list[Image.Image]:
    """Decode `count` pictures, evenly spaced among all that are named; broken ones are left out.

    Args:
        paths: Files, and folders that are searched whole; of a folder the files by name.
        count: Pictures at most.

    Returns:
        RGB, upright.

    Raises:
        InputError: a path is not there, or fewer than two pictures can be read.
    """
    files = [file for path in paths for file in _files(path)]
    step = max(1.0, len(files) / count)
    found = []
    for file in [files[int(i * step)] for i in range(min(count, len(files)))]:
        try:
            found.append(images.decode(file.read_bytes()))
        except images.ImageError as error:
            logging.getLogger("sauropod").warning("%s is left out: %s", file, error.status)
    if len(found) < LEAST:
        expected, named = "two pictures that can be read", ", ".join(map(str, paths[:3])) or "none"
        raise InputError(named, expected=expected, found=str(len(found)), fix=_FIX)
    return found
