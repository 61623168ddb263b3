"""Small pictures as data URIs, read by one `pread` each from the tar shards."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from PIL import Image, ImageDraw

from sauropod import images
from sauropod.errors import InputError
from sauropod.io import read_range

SIDE = 112
QUALITY = 78
PIXELS_LEFT = 8

Box = tuple[float, float, float, float]


def data_uri(image: Image.Image) -> str:
    """Encode an RGB image as a JPEG data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def shrink(image: Image.Image) -> Image.Image:
    """Fit an image into SIDE x SIDE pixels, keeping its aspect; small ones stay as they are."""
    copy = image.copy()
    copy.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return copy


def pixelate(image: Image.Image) -> Image.Image:
    """Keep PIXELS_LEFT x PIXELS_LEFT pixels of an image: enough to see that something was there."""
    small = image.resize((PIXELS_LEFT, PIXELS_LEFT), Image.Resampling.BOX)
    return small.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def outline(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """Shrink an image and draw boxes (left, top, width, height, in pixels of the image) onto it."""
    small = shrink(image)
    scale = small.width / image.width
    draw = ImageDraw.Draw(small)
    for left, top, width, height in boxes:
        corners = [left * scale, top * scale, (left + width) * scale, (top + height) * scale]
        draw.rectangle(corners, outline=(255, 196, 0), width=2)
    return small


@dataclass(frozen=True)
class Thumbnails:
    """Looks images up by id: `places` maps image_id to (tar, offset, num_bytes)."""

    places: dict[int, tuple[str, int, int]]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "Thumbnails":
        """Take the places of an IMAGES frame; rows without a place are left out."""
        known = frame.drop_nulls(["tar", "offset", "num_bytes"])
        columns = known.select("image_id", "tar", "offset", "num_bytes").rows()
        return cls({row[0]: row[1:] for row in columns})

    def __contains__(self, image_id: int) -> bool:
        """Whether the image's bytes have a place."""
        return image_id in self.places

    def picture(self, image_id: int) -> Image.Image | None:
        """Decode an image; None when it has no place, its shard is gone or it is broken."""
        if image_id not in self.places:
            return None
        tar, offset, num_bytes = self.places[image_id]
        try:
            return images.decode(read_range(Path(tar), offset=offset, num_bytes=num_bytes))
        except (InputError, images.ImageError):
            return None

    def plain(self, image_id: int) -> str | None:
        """Thumbnail of an image as a data URI, or None."""
        picture = self.picture(image_id)
        return data_uri(shrink(picture)) if picture else None

    def hidden(self, image_id: int) -> str | None:
        """Thumbnail pixelated beyond recognition, or None."""
        picture = self.picture(image_id)
        return data_uri(pixelate(picture)) if picture else None

    def boxed(self, image_id: int, boxes: Sequence[Box]) -> str | None:
        """Thumbnail with boxes drawn onto it, or None."""
        picture = self.picture(image_id)
        return data_uri(outline(picture, boxes)) if picture else None
