"""The one place that decodes image bytes: limits first, then pixels."""

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

MAGIC_BYTES = 16
"""Bytes from the start of a file that `magic` needs."""


class ImageError(Exception):
    """An image that cannot be used; `status` is the word its row gets (schema.STATUS)."""

    def __init__(self, status: str) -> None:
        """Keep the row's status."""
        super().__init__(status)
        self.status = status


def magic(data: bytes) -> str | None:
    """Format that a file's first bytes announce, as Pillow names it, or None."""
    starts = {
        b"\xff\xd8\xff": "JPEG",
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"GIF87a": "GIF",
        b"GIF89a": "GIF",
        b"BM": "BMP",
        b"II*\0": "TIFF",
        b"MM\0*": "TIFF",
    }
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for start, name in starts.items() if data.startswith(start)), None)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError("too_many_pixels") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise ImageError("not_an_image") from None
    if image.width * image.height > max_pixels:
        raise ImageError("too_many_pixels")
    return image


def probe(data: bytes, *, max_pixels: int = 50_000_000) -> tuple[int, int, str]:
    """Read an image's header only.

    Returns:
        Width and height in pixels as stored, and the format's lower-case name.

    Raises:
        ImageError: not an image of a known format, or more than `max_pixels`.
    """
    image = _open(data, max_pixels)
    return image.width, image.height, str(image.format).lower()


def decode(data: bytes, *, max_pixels: int = 50_000_000, draft: int | None = None) -> Image.Image:
    """Decode an image to RGB, upright by its EXIF orientation.

    Args:
        data: The file's bytes.
        max_pixels: Larger images are refused before a pixel is decoded.
        draft: Short side in pixels that is enough; JPEGs may then be decoded at 1/2, 1/4 or 1/8.

    Raises:
        ImageError: with the status the image's row gets.
    """
    image = _open(data, max_pixels)
    if draft is not None:
        image.draft("RGB", (draft, draft))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            return ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        status = "truncated" if "truncated" in str(error) else "decode_error"
        raise ImageError(status) from None
    except (ValueError, SyntaxError, MemoryError):
        raise ImageError("decode_error") from None
