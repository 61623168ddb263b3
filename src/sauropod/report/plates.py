"""What `visualise` painted, as pictures in the page."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from sauropod.errors import InputError
from sauropod.report.galleries import Picture
from sauropod.report.thumbnails import data_uri

WIDTH = 1200
"""Widest picture in the page, pixels."""
WORDS = {
    "pca": "Principal components of the patches: the first tells foreground, the next are colours",
    "matches": "Patches of the first picture and their matches in the others",
    "attention": "Attention of the class token in the last block, head by head",
    "overlays": "Predictions of heads on frozen patches: label maps, then depth maps",
}


def read_plates(paths: Iterable[Path]) -> dict[str, list[Picture]]:
    """Shrink plates to the page, by model.

    Args:
        paths: `<model>.<plate>.png`.

    Raises:
        InputError: one is missing or not a picture.
    """
    found: dict[str, list[Picture]] = {}
    for path in paths:
        model, _, plate = path.stem.partition(".")
        try:
            with Image.open(path, formats=["PNG"]) as image:
                small = image.convert("RGB")
        except OSError as error:
            fix = "run visualise again"
            raise InputError(path, expected="a PNG", found=str(error), fix=fix) from None
        small.thumbnail((WIDTH, small.height), Image.Resampling.LANCZOS)
        words = WORDS.get(plate, plate)
        found.setdefault(model, []).append(Picture(data_uri(small), f"{model}: {words}", words))
    return found
