from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sauropod.evaluate.dense.maps import read_depth, read_image, read_map
from sauropod.images import ImageError


def _status(path: Path, **settings: float) -> str:
    with pytest.raises(ImageError) as caught:
        read_depth(path, scale=1000, **settings)  # type: ignore[arg-type]
    return caught.value.status


def test_a_map_keeps_its_numbers_whatever_the_file(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    painted = Image.fromarray(labels, mode="P")
    painted.putpalette([9, 200, 31] * 256)  # VOC's masks are indices into colours
    painted.save(tmp_path / "palette.png")
    Image.fromarray(labels).save(tmp_path / "grey.png")
    Image.fromarray(labels.astype(np.uint16) * 5000).save(tmp_path / "deep.png")
    np.save(tmp_path / "array.npy", labels)
    for name in ("palette.png", "grey.png", "array.npy"):
        assert (read_map(tmp_path / name) == labels).all()
    assert (read_map(tmp_path / "deep.png") == labels.astype(int) * 5000).all()


def test_metres_and_what_is_no_measurement(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([[1500.0, np.nan, -3.0], [np.inf, 0.0, 2.0]]))
    assert read_depth(tmp_path / "d.npy", scale=1000).tolist() == [
        [1.5, 0, 0],
        [0, 0, pytest.approx(0.002)],
    ]


def test_sun_rgbd_rotates_its_bits(tmp_path: Path) -> None:
    millimetres = np.array([[1, 1234, 8000, 65535]], np.uint16)
    stored = (millimetres << 3) | (millimetres >> 13)
    Image.fromarray(stored).save(tmp_path / "d.png")
    found = read_depth(tmp_path / "d.png", scale=1000, rotated=True)
    assert np.allclose(found * 1000, millimetres)


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"no image")
    (tmp_path / "text.npy").write_bytes(b"no array")
    Image.new("RGB", (4, 4)).save(tmp_path / "colour.png")
    Image.new("L", (4, 4)).save(tmp_path / "zero.png")
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    np.save(tmp_path / "deep.npy", np.zeros((3, 3, 3)))
    np.save(tmp_path / "pickle.npy", np.array([[object()]]), allow_pickle=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    expected = {
        "none.png": "missing",
        "text.png": "not_an_image",
        "text.npy": "not_a_map",
        "pickle.npy": "not_a_map",
        "deep.npy": "not_a_map",
        "colour.png": "not_a_map",
        "zero.png": "no_depth",
        "nan.npy": "no_depth",
        "cut.png": "decode_error",
    }
    assert {name: _status(tmp_path / name) for name in expected} == expected
    with pytest.raises(ImageError, match="missing"):
        read_image(tmp_path / "none.jpg")
