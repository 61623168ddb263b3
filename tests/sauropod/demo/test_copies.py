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


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_copies_look_like_their_original(seed: int) -> None:
    shot = render(casting.portrait("cat", (seed, "c"), width=72, height=72))
    image = Image.fromarray(shot.rendered.pixels)
    file, words = copy(image, shot.faces, RNG(seed))
    copied = Image.open(io.BytesIO(file.data))
    assert words
    assert copied.format in ("JPEG", "PNG", "WEBP")
    assert np.corrcoef(grey(image), grey(copied))[0, 1] > 0.5
