"""Label maps and depth maps: files to numbers per pixel.

What cannot be used is an `ImageError` whose status says why; it becomes a count, never a crash.
Shapes: H, W height and width of a map.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from sauropod import images
from sauropod.images import ImageError

UNEQUAL_SIZE, UNKNOWN_LABEL = "unequal_size", "unknown_label"
NO_LABEL, NO_DEPTH = "no_label", "no_depth"
MISSING, NOT_A_MAP, DECODE_ERROR = "missing", "not_a_map", "decode_error"

GREY_MODES = frozenset({"L", "P", "1", "F"})  # and every I: one number per pixel


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(MISSING) from error


def read_image(path: Path) -> np.ndarray:
    """Decode an image file: (H, W, 3) uint8, RGB, upright.

    Raises:
        ImageError: missing or unreadable.
    """
    return np.asarray(images.decode(_bytes(path)))


def read_map(path: Path) -> np.ndarray:
    """Decode one number per pixel: (H, W), palette indices as they are, of .npy any dtype.

    Raises:
        ImageError: missing, unreadable, or of several channels.
    """
    data = _bytes(path)
    if path.suffix == ".npy":
        try:
            values = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ImageError(NOT_A_MAP) from error
    else:
        images.probe(data)  # limits, before a pixel is decoded
        image = Image.open(io.BytesIO(data), formats=images.FORMATS)
        if image.mode not in GREY_MODES and not image.mode.startswith("I"):
            raise ImageError(NOT_A_MAP)
        try:
            values = np.asarray(image)
        except Exception as error:  # a decoder fed broken bytes raises almost anything
            raise ImageError(DECODE_ERROR) from error
    if values.ndim != 2 or not values.size:
        raise ImageError(NOT_A_MAP)
    return values


def read_depth(path: Path, *, scale: float, rotated: bool = False) -> np.ndarray:
    """Read metres: (H, W) float32, 0 where nothing was measured.

    Zero, negative and non-finite values are no measurement.

    Args:
        path: 16-bit PNG, float TIFF or .npy.
        scale: Units per metre.
        rotated: The 16 bits were rotated left by 3, as SUN RGB-D stores millimetres.

    Raises:
        ImageError: unreadable, or nothing was measured.
    """
    values = read_map(path)
    if rotated:
        bits = values.astype(np.uint16)
        values = (bits >> 3) | (bits << 13)
    metres = values.astype(np.float32) / np.float32(scale)
    metres = np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0))
    if not metres.any():
        raise ImageError(NO_DEPTH)
    return metres
