from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.datasets.clips import Video, read_ssv2, read_ucf101, spaced
from sauropod.images import ImageError

Make = Callable[[str], Path]


def test_frames_are_the_middles_of_equal_parts() -> None:
    assert spaced(8, 8) == list(range(8))
    assert spaced(80, 8) == [5, 15, 25, 35, 45, 55, 65, 75]
    assert spaced(3, 6) == [0, 0, 1, 1, 2, 2]


def test_frames_of_a_file_are_those_asked_for(miniature: Make) -> None:
    clip = read_ucf101(miniature("ucf101")).splits["test"].images[0]
    assert isinstance(clip, Video)
    red = [np.asarray(frame)[..., 0].mean() for frame in clip.read_frames(5)]
    np.testing.assert_allclose(red, [20, 60, 100, 140, 180], atol=8)  # frames 1, 3, 5, 7, 9


def test_a_clip_that_cannot_be_read_has_a_status(tmp_path: Path) -> None:
    (tmp_path / "x.avi").write_bytes(b"junk")
    with pytest.raises(ImageError):
        Video(tmp_path / "x.avi").read_frames(8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError):
        Video(tmp_path / "empty").read_frames(8)


def test_a_clip_of_the_list_must_be_there(miniature: Make) -> None:
    root = miniature("ucf101")
    next((root / "UCF-101").rglob("*.avi")).unlink()
    with pytest.raises(InputError, match=r"unpack UCF101\.rar"):
        read_ucf101(root)


def test_order_in_time_is_kept_where_it_matters(miniature: Make) -> None:
    root = miniature("ssv2")
    assert read_ssv2(root).pooling == "concat"
    (root / "labels" / "train.json").write_text('[{"id": "1", "template": "Eating [something]"}]')
    with pytest.raises(InputError, match="found 'Eating something'"):
        read_ssv2(root)
