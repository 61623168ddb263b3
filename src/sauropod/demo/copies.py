"""Near duplicates as the web makes them: re-encoded, resized, cropped, watermarked, brightened."""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from sauropod.demo.keys import pick


class Encoded(NamedTuple):
    """An image file: bytes, suffix with its dot, and face boxes (n, 4) left, top, width, height."""

    data: bytes
    suffix: str
    faces: np.ndarray


class Edited(NamedTuple):
    """An edited picture, its face boxes and the words that say what was done."""

    image: Image.Image
    faces: np.ndarray
    words: str
    suffix: str = ".jpg"
    quality: int = 90


def encode(
    image: Image.Image, faces: np.ndarray, *, suffix: str = ".jpg", quality: int = 90
) -> Encoded:
    """Encode a picture as JPEG, PNG or WebP by its suffix."""
    form = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[suffix]
    options = {} if form == "PNG" else {"quality": quality}
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return Encoded(buffer.getvalue(), suffix, faces)


def reencoded(image: Image.Image, faces: np.ndarray, rng: np.random.Generator) -> Edited:
    """Save again: low-quality JPEG, WebP or PNG."""
    suffix = pick(rng, (".jpg", ".jpg", ".webp", ".png"))
    quality = int(rng.integers(35, 75))
    return Edited(image, faces, f"reencode {suffix[1:]} q{quality}", suffix, quality)


def resized(image: Image.Image, faces: np.ndarray, rng: np.random.Generator) -> Edited:
    """Scale by 0.6 to 1.5."""
    factor = pick(rng, (0.65, 0.75, 1.25, 1.5))
    size = tuple(max(40, round(side * factor)) for side in image.size)
    scale = np.array([size[0] / image.width, size[1] / image.height] * 2, dtype=np.float32)
    done = image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    return Edited(done, faces * scale, f"resize {factor}")


def clip_boxes(faces: np.ndarray, width: int, height: int) -> np.ndarray:
    """Clip boxes to a picture; boxes of which less than a third stays are dropped."""
    limit = np.array([width, height], dtype=np.float32)
    low = faces[:, :2].clip(0, limit)
    high = (faces[:, :2] + faces[:, 2:]).clip(0, limit)
    size = high - low
    stays = size.prod(1) > 0.33 * faces[:, 2:].prod(1)
    return np.concatenate([low, size], axis=1)[stays]


def cropped(image: Image.Image, faces: np.ndarray, rng: np.random.Generator) -> Edited:
    """Cut away 6 to 18 percent of each axis."""
    keep = rng.uniform(0.82, 0.94, 2)
    w, h = round(image.width * keep[0]), round(image.height * keep[1])
    x, y = int(rng.integers(image.width - w + 1)), int(rng.integers(image.height - h + 1))
    moved = clip_boxes(faces - np.array([x, y, 0, 0], dtype=np.float32), w, h)
    return Edited(image.crop((x, y, x + w, y + h)), moved, f"crop {keep[0]:.2f}x{keep[1]:.2f}")


def watermarked(image: Image.Image, faces: np.ndarray, rng: np.random.Generator) -> Edited:
    """Write a half transparent name across a corner or the middle."""
    words = pick(rng, ("(c) DEMO", "stockpix", "PREVIEW", "demo.test"))
    layer = Image.new("RGBA", image.size)
    font = ImageFont.load_default(max(9, image.height // 7))
    at = (rng.uniform(0.02, 0.3) * image.width, rng.uniform(0.1, 0.8) * image.height)
    ImageDraw.Draw(layer).text(at, words, font=font, fill=(255, 255, 255, 150))
    done = Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
    return Edited(done, faces, f"watermark {words}")


def brightened(image: Image.Image, faces: np.ndarray, rng: np.random.Generator) -> Edited:
    """Change brightness and contrast."""
    factor = pick(rng, (0.72, 0.82, 1.2, 1.32))
    done = ImageEnhance.Brightness(image).enhance(factor)
    return Edited(done, faces, f"brightness {factor}")


Edit = Callable[[Image.Image, np.ndarray, np.random.Generator], Edited]
EDITS: tuple[Edit, ...] = (reencoded, resized, cropped, watermarked, brightened)


def copy(image: Image.Image, faces: np.ndarray, rng: np.random.Generator) -> tuple[Encoded, str]:
    """Make a near duplicate with one or two edits; return the file and what was done."""
    order = [EDITS[k] for k in rng.permutation(len(EDITS))[: 1 + int(rng.random() < 0.35)]]
    words, suffix, quality = [], ".jpg", 88
    for edit in order:
        edited = edit(image, faces, rng)
        image, faces = edited.image, edited.faces
        words.append(edited.words)
        if edit is reencoded:
            suffix, quality = edited.suffix, edited.quality
    return encode(image, faces, suffix=suffix, quality=quality), "; ".join(words)
