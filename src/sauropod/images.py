"""The one place that decodes image bytes: limits first, then pixels.

The bytes come from strangers. The format is told by magic numbers, never by names; size, pixel
count and work are bounded before anything is decoded; whatever a decoder chokes on becomes the
status of one row.
"""

import io
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAGIC_BYTES = 16
"""Bytes from the start of a file that `magic` needs."""
MAX_PIXELS = 50_000_000
MAX_SCANS = 200
"""JPEG scans decoded; real files have about ten, a bomb may have thousands over a huge canvas."""

_ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""
_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)

# The limit is checked here, by knob, before pixels are decoded; Pillow's own is a global one.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns of every crooked EXIF block; catch_warnings would not be safe in decoder threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageError(Exception):
    """An image that cannot be used; `status` is the word its row gets (schema.STATUS)."""

    def __init__(self, status: str) -> None:
        """Keep the row's status."""
        super().__init__(status)
        self.status = status


def magic(data: bytes) -> str | None:
    """Format that a file's first bytes announce, as Pillow names it, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for start, name in _STARTS if data.startswith(start)), None)


def probe(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int, str]:
    """Read an image's header only.

    Returns:
        Width and height in pixels as stored, and the format's lower-case name.

    Raises:
        ImageError: not an image of a known format, or more than `max_pixels`.
    """
    image = _open(data, max_pixels=max_pixels)
    return image.width, image.height, str(image.format).lower()


def jpeg_size(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int] | None:
    """Upright width and height of a JPEG, from its header; None for every other format.

    Raises:
        ImageError: as `decode`.
    """
    if magic(data) != "JPEG":
        return None
    image = _open(data, max_pixels=max_pixels)
    width, height = image.size
    return (height, width) if _orientation(image) in _ON_ITS_SIDE else (width, height)


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    draft: int | None = None,
    shrink: int = 1,
    grey: bool = False,
) -> Image.Image:
    """Decode an image to RGB, upright by its EXIF orientation; of an animation the first frame.

    Args:
        data: The file's bytes.
        max_pixels: Larger images are refused before a pixel is decoded.
        draft: Short side in pixels that is enough; JPEGs may then be decoded at 1/2, 1/4 or 1/8.
        shrink: Decode a JPEG at one part in 2, 4 or 8 of its size, each side rounded up.
        grey: Decode to L instead; with `draft`, a JPEG's colours are then not computed at all.

    Raises:
        ImageError: with the status the image's row gets.
    """
    image = _open(data, max_pixels=max_pixels)
    if draft is not None:
        image.draft("L" if grey else "RGB", (draft, draft))
    if shrink > 1:
        image.draft("RGB", (image.width // shrink, image.height // shrink))
    try:
        image.load()
        upright = _upright(image)
        if grey:
            return upright if upright.mode == "L" else _rgb(upright).convert("L")
        return _rgb(upright)
    except Exception as error:  # a decoder fed hostile bytes raises almost anything
        cut = "truncated" in str(error).lower() or "not enough" in str(error).lower()
        raise ImageError("truncated" if cut else "decode_error") from error


def _open(data: bytes, *, max_pixels: int) -> Image.Image:
    kind = magic(data)
    if kind is None:
        raise ImageError("not_an_image")
    if kind == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise ImageError("decode_error")
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
    except Exception as error:  # as in decode
        raise ImageError("decode_error" if _whole(data, kind=kind) else "truncated") from error
    if image.width * image.height > max_pixels:
        raise ImageError("too_many_pixels")
    return image


def _whole(data: bytes, *, kind: str) -> bool:
    """False when a file of the kind lacks the mark at its end, so that it was cut short."""
    tail = data[-64:]
    if kind == "WEBP":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    marks = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "GIF": b";"}
    return kind not in marks or marks[kind] in tail


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1, upright, for an EXIF block that does not parse."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as in decode
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """Turn by the EXIF orientation; a block that does not parse turns nothing."""
    if _orientation(image) == 1:
        return image  # exif_transpose would copy it
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as in decode
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB; of 16-bit greys the upper 8 bits, which Pillow would clip to white."""
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image), 0, 65535)
        deep = image.mode != "I" or values.max(initial=0) > 255  # plain I may hold 8-bit values
        image = Image.fromarray((values >> 8 if deep else values).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")
