import numpy as np
import pytest
from PIL import Image

from sauropod.evaluate.colour import WIDTH, colour_feature


def test_one_colour_fills_one_bin() -> None:
    feature = colour_feature(Image.new("RGB", (50, 20), (255, 0, 32)))
    # A flat thumbnail keeps only how the channels differ from the mean, the same in every cell.
    assert feature.shape == (WIDTH,)
    assert np.flatnonzero(feature[:512]).tolist() == [7 * 64 + 0 * 8 + 1]
    assert np.linalg.norm(feature) == pytest.approx(1.0, abs=1e-6)
    thumbnail = feature[512:].reshape(64, 3)
    np.testing.assert_allclose(thumbnail, np.broadcast_to(thumbnail[0], (64, 3)), atol=1e-6)


def test_grey_image_has_no_thumbnail_part() -> None:
    feature = colour_feature(Image.new("RGB", (9, 9), (128, 128, 128)))
    assert np.allclose(feature[512:], 0.0)
    assert feature[4 * 64 + 4 * 8 + 4] == pytest.approx(1.0)


def test_similar_colours_are_nearer_than_others() -> None:
    red, pink, blue = (
        colour_feature(Image.new("RGB", (32, 32), rgb))
        for rgb in ((220, 30, 30), (235, 40, 50), (20, 40, 220))
    )
    assert red @ pink > red @ blue
