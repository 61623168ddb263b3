"""images.py: limits first; every hostile file is an ImageError with the right status."""

import contextlib
import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sauropod import images
from sauropod.images import ImageError

RNG = np.random.Generator(np.random.Philox(key=3))
PIXELS = RNG.integers(0, 255, (60, 80, 3), dtype=np.uint8)
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, data: bytes = b"\0" * 100) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def status(data: bytes, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        images.decode(data, **options)
    return caught.value.status


@pytest.mark.parametrize("kind", KINDS)
def test_formats(kind: str) -> None:
    data = encode(Image.fromarray(PIXELS), kind)
    assert images.magic(data[: images.MAGIC_BYTES]) == kind
    assert images.probe(data) == (80, 60, kind.lower())
    decoded = images.decode(data)
    assert (decoded.mode, decoded.size) == ("RGB", (80, 60))
    if kind in ("PNG", "BMP", "TIFF"):
        np.testing.assert_array_equal(np.asarray(decoded), PIXELS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_cut_files(kind: str, share: float) -> None:
    data = encode(Image.fromarray(PIXELS), kind)
    assert status(data[: int(len(data) * share)]) == "truncated"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_modes(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((9, 9), 0x8000, dtype=np.uint16))
    else:
        image = Image.fromarray(PIXELS).convert(mode)
    decoded = images.decode(encode(image, "TIFF" if mode == "CMYK" else "PNG"))
    assert decoded.mode == "RGB"
    if mode == "I;16":
        assert np.asarray(decoded).min() == np.asarray(decoded).max() == 0x80


def test_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = encode(Image.fromarray(PIXELS), "JPEG", exif=exif)
    assert images.probe(data)[:2] == (80, 60)
    assert images.decode(data).size == (60, 80)


@pytest.mark.filterwarnings("ignore")  # Pillow's remarks on broken files; silent outside tests
def test_a_crooked_exif_block_turns_nothing() -> None:
    data = encode(Image.fromarray(PIXELS), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7frubbish")
    assert images.decode(data).size == (80, 60)


@pytest.mark.parametrize("width", [50_000, 2**31 - 1])
def test_pixel_bombs_are_refused_by_their_header(width: int) -> None:
    start = time.process_time()
    assert status(png(width, width)) == "too_many_pixels"
    assert time.process_time() - start < 1
    with pytest.raises(ImageError):
        images.probe(png(50_000, 50_000))


def test_the_limit_is_exact() -> None:
    data = encode(Image.fromarray(PIXELS))
    assert images.decode(data, max_pixels=4800).size == (80, 60)
    assert status(data, max_pixels=4799) == "too_many_pixels"


def test_scan_bomb() -> None:
    data = encode(Image.fromarray(PIXELS), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert status(data[:-2] + scan * 500 + b"\xff\xd9") == "decode_error"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not_an_image"),
        (b"<html>", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        (b"%PDF-1.4", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not_an_image"),
        (b"\xff\xd8\xff\xe0" + b"x" * 50 + b"\xff\xd9", "decode_error"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 30, "truncated"),
        (b"GIF89a\x01", "truncated"),
        (png(0, 5), "decode_error"),
    ],
)
def test_what_is_no_image(data: bytes, expected: str) -> None:
    assert status(data) == expected


def test_draft_is_smaller_but_the_same_picture() -> None:
    big = Image.fromarray(PIXELS).resize((800, 600))
    small = images.decode(encode(big, "JPEG"), draft=100)
    assert small.size == (200, 150)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_grey_is_the_grey_of_the_colours(kind: str) -> None:
    data = encode(Image.fromarray(PIXELS).resize((80, 60)), kind)
    grey = images.decode(data, draft=32, grey=True)
    colours = images.decode(data, draft=32).convert("L")
    assert grey.mode == "L"
    difference = np.asarray(grey, int) - np.asarray(colours, int)
    assert np.abs(difference).mean() < 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
def test_jpegs_shrink_and_tell_their_size_before(orientation: int, shrink: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(PIXELS).resize((203, 101)), "JPEG", exif=exif)
    size = images.jpeg_size(data)
    assert size == ((101, 203) if orientation > 4 else (203, 101))
    small = images.decode(data, shrink=shrink)
    assert small.size == tuple(-(-side // shrink) for side in size)


def test_only_jpegs_shrink() -> None:
    data = encode(Image.fromarray(PIXELS), "PNG")
    assert images.jpeg_size(data) is None
    assert images.decode(data, shrink=4).size == (80, 60)


def test_size_of_a_bad_jpeg() -> None:
    data = encode(Image.fromarray(PIXELS), "JPEG")
    with pytest.raises(ImageError, match="too_many_pixels"):
        images.jpeg_size(data, max_pixels=100)
    with pytest.raises(ImageError, match="truncated"):
        images.jpeg_size(data[:30])


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_broken_bytes_are_an_image_or_an_image_error(
    kind: str, edits: list[tuple[int, int]]
) -> None:
    data = bytearray(encode(Image.fromarray(PIXELS[:16, :16]), kind))
    for position, value in edits:
        data[position % len(data)] = value
    with contextlib.suppress(ImageError):
        assert images.decode(bytes(data), max_pixels=10_000).mode == "RGB"
