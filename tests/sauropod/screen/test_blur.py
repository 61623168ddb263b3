"""Face blur: hand cases, locality, and that what was inside a box can no longer be read."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.screen.blur import blur_boxes


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def blurred(pixels: np.ndarray, *boxes: tuple[float, float, float, float]) -> np.ndarray:
    return blur_boxes(pixels, np.array(boxes).reshape(-1, 4), grow=0.1, sigma=0.1)


def test_no_boxes_no_change() -> None:
    pixels = noise(20, 30)
    out = blurred(pixels)
    np.testing.assert_array_equal(out, pixels)
    assert out is not pixels


def test_inside_equals_a_plain_gaussian() -> None:
    """In the box itself the weight is one: the result is the Gaussian of the whole image."""
    pixels = noise(120, 140)
    out = blurred(pixels, (50, 40, 40, 30))
    whole = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), 4.0)
    inside = np.s_[40:70, 50:90]
    assert np.abs(out[inside] - whole[inside]).max() <= 1.5
    assert out[inside].std() < pixels[inside].std() / 5


def test_constant_image_stays() -> None:
    pixels = np.full((40, 40, 3), 77, np.uint8)
    np.testing.assert_array_equal(blurred(pixels, (-5, -5, 30, 20), (30, 30, 50, 50)), pixels)


def test_box_outside_or_without_area_is_ignored_or_tiny() -> None:
    pixels = noise(20, 20)
    np.testing.assert_array_equal(blurred(pixels, (100, 100, 5, 5)), pixels)
    assert blurred(pixels, (10, 10, 0.5, 0.5)).shape == pixels.shape


@settings(max_examples=30, deadline=None)
@given(
    left=st.floats(-20, 100),
    top=st.floats(-20, 100),
    width=st.floats(1, 80),
    height=st.floats(1, 80),
)
def test_far_pixels_do_not_change(left: float, top: float, width: float, height: float) -> None:
    pixels = noise(90, 110)
    out = blurred(pixels, (left, top, width, height))
    reach = 0.1 * max(width, height) * 4 + 4
    y, x = np.mgrid[:90, :110]
    far = (x < left - reach) | (x > left + width + reach)
    far |= (y < top - reach) | (y > top + height + reach)
    np.testing.assert_array_equal(out[far], pixels[far])


def test_boxes_are_independent_when_apart() -> None:
    pixels = noise(100, 200)
    a, b = (10, 10, 30, 30), (130, 40, 40, 30)
    both = blurred(pixels, a, b)
    np.testing.assert_array_equal(both, blurred(blurred(pixels, b), a))
