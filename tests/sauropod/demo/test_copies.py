"""Copies: each edit does what it says, faces move along, and the picture stays recognisable."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sauropod.demo import casting
from sauropod.demo.copies import (
    EDITS,
    brightened,
    clip_boxes,
    copy,
    cropped,
    reencoded,
    resized,
    watermarked,
)
from sauropod.demo.scenes import render

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def picture() -> tuple[Image.Image, np.ndarray]:
    shot = render(casting.company((0, "copies"), width=80, height=64, people=1))
    return Image.fromarray(shot.rendered.pixels), shot.faces


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((16, 16)), dtype=float).ravel()


def test_resize_scales_the_boxes(picture: tuple[Image.Image, np.ndarray]) -> None:
    image, faces = picture
    edited = resized(image, faces, RNG(0))
    factor = edited.image.width / image.width
    assert factor != 1
    assert edited.faces[0, 2] == pytest.approx(faces[0, 2] * factor, rel=1e-5)


def test_crop_keeps_the_pixels(picture: tuple[Image.Image, np.ndarray]) -> None:
    image, faces = picture
    edited = cropped(image, faces, RNG(0))
    whole, part = np.asarray(image), np.asarray(edited.image)
    h, w = part.shape[:2]
    places = [
        (y, x)
        for y in range(whole.shape[0] - h + 1)
        for x in range(whole.shape[1] - w + 1)
        if np.array_equal(whole[y : y + h, x : x + w], part)
    ]
    assert len(places) == 1
    y, x = places[0]
    assert edited.faces[0, :2] == pytest.approx((faces[0, :2] - [x, y]).clip(0))


def test_clip_boxes_by_hand() -> None:
    boxes = np.array([[-2, 3, 6, 4], [9, 9, 10, 10]], dtype=np.float32)
    assert clip_boxes(boxes, 10, 10).tolist() == [[0, 3, 4, 4]]


def test_brightness_and_watermark_change_the_picture(
    picture: tuple[Image.Image, np.ndarray],
) -> None:
    image, faces = picture
    before = np.asarray(image, dtype=float)
    for edit in (brightened, watermarked):
        after = np.asarray(edit(image, faces, RNG(0)).image, dtype=float)
        assert after.shape == before.shape
        assert np.abs(after - before).mean() > 0.2


def test_reencode_names_its_format(picture: tuple[Image.Image, np.ndarray]) -> None:
    image, faces = picture
    found = {reencoded(image, faces, RNG(k)).suffix for k in range(12)}
    assert found == {".jpg", ".webp", ".png"}
    assert len(EDITS) == 5


def made(seed: int) -> tuple[Image.Image, Image.Image, str]:
    """Return a picture, its copy and what was done."""
    shot = render(casting.portrait("cat", (seed, "c"), width=72, height=72))
    image = Image.fromarray(shot.rendered.pixels)
    file, words = copy(image, shot.faces, RNG(seed))
    return image, Image.open(io.BytesIO(file.data)), words


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_copies_decode_and_differ(seed: int) -> None:
    image, copied, words = made(seed)
    assert words
    assert copied.format in ("JPEG", "PNG", "WEBP")
    assert min(copied.size) >= 40
    assert copied.convert("RGB").tobytes() != image.tobytes() or copied.format == "PNG"


def test_copies_look_like_their_original_and_not_like_others() -> None:
    pairs = [made(seed)[:2] for seed in range(20)]
    same = [np.corrcoef(grey(a), grey(b))[0, 1] for a, b in pairs]
    others = [np.corrcoef(grey(pairs[k][0]), grey(pairs[k - 1][1]))[0, 1] for k in range(20)]
    assert np.median(same) > 0.9
    assert np.median(others) < 0.6
