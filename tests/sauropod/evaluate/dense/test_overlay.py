import numpy as np

from sauropod.evaluate.dense.miou import IGNORED
from sauropod.evaluate.dense.overlay import depth_colours, label_colours, overlay, palette


def test_classes_have_colours_of_their_own() -> None:
    colours = palette(150).astype(int)
    assert len({tuple(colour) for colour in colours.tolist()}) == 150
    first = colours[:21]
    apart = np.abs(first[:, None] - first[None]).sum(axis=2) + 1000 * np.eye(21)
    assert apart.min() > 30


def test_ignored_pixels_show_the_image() -> None:
    image = np.full((1, 2, 3), 100, np.uint8)
    colours = label_colours(np.array([[0, IGNORED]]), num_classes=3)
    mixed = overlay(image, colours, opacity=0.5)
    assert mixed[0, 1].tolist() == [100] * 3
    assert (mixed[0, 0] == np.round(50 + palette(3)[0] / 2)).all()
    assert (overlay(image, colours, opacity=1.0)[0, 0] == palette(3)[0]).all()


def test_near_is_bright_and_unmeasured_is_black() -> None:
    painted = depth_colours(np.array([[1.0, 2.0, 10.0, 0.0, 50.0]]), near=1, far=10).astype(int)
    brightness = painted[0].sum(axis=1)
    assert brightness[0] > brightness[1] > brightness[2]
    assert brightness[3] == 0
    assert brightness[4] == brightness[2]
