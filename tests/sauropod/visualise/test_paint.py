import numpy as np
from PIL import Image

from sauropod.visualise.matching import Match
from sauropod.visualise.paint import GAP, HEAT, enlarged, heat, joined, plate


def test_heat_runs_from_cold_to_hot_and_lightens() -> None:
    colours = heat(np.linspace(0, 1, 50))
    assert colours[0].tolist() == HEAT[0].tolist()
    assert colours[-1].tolist() == HEAT[-1].tolist()
    lightness = colours @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(lightness) > -0.6).all()


def test_plate_lays_tiles_out_in_cells() -> None:
    red, blue = Image.new("RGB", (20, 10), "red"), Image.new("RGB", (8, 12), "blue")
    pixels = np.asarray(plate([[red, blue], [blue]]))
    assert pixels.shape == (2 * 12 + 3 * GAP, 2 * 20 + 3 * GAP, 3)
    assert pixels[GAP, GAP].tolist() == [255, 0, 0]
    assert pixels[GAP, 2 * GAP + 20].tolist() == [0, 0, 255]
    assert pixels[2 * GAP + 12, GAP].tolist() == [0, 0, 255]
    assert (pixels == [0, 0, 255]).all(axis=2).sum() == 2 * 8 * 12
    assert (pixels == [255, 0, 0]).all(axis=2).sum() == 20 * 10


def test_enlarged_repeats_patches() -> None:
    patches = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    pixels = np.asarray(enlarged(patches, (8, 6)))
    np.testing.assert_array_equal(pixels, patches.repeat(3, axis=0).repeat(4, axis=1))


def test_joined_draws_a_line_from_patch_to_patch_only() -> None:
    left, right = Image.new("RGB", (32, 32)), Image.new("RGB", (32, 48))
    plain = np.asarray(joined(left, right, [], patch=8))
    assert plain.shape == (48, 64 + GAP, 3)
    drawn = np.asarray(joined(left, right, [Match((1, 0), (1, 3), 0.0)], patch=8))
    changed = np.argwhere((drawn != plain).any(axis=2))
    assert changed[:, 0].min() >= 8
    assert changed[:, 0].max() < 16
    assert changed[:, 1].min() < 4
    assert changed[:, 1].max() > 32 + GAP + 3 * 8 + 3
