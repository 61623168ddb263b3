import logging
from pathlib import Path

import pytest
from PIL import Image

from sauropod.errors import InputError
from sauropod.visualise.pictures import read_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(10):
        path = tmp_path / "pictures" / f"{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4 + i, 4)).save(path)
    (tmp_path / "pictures" / "notes.txt").write_text("not a picture")
    return tmp_path / "pictures"


def _widths(*paths: Path, count: int) -> list[int]:
    return [picture.width - 4 for picture in read_pictures(paths, count=count)]


def test_files_and_folders_evenly(folder: Path) -> None:
    assert _widths(folder, count=99) == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    assert _widths(folder, count=5) == [0, 4, 8, 3, 7]
    assert _widths(folder / "1" / "3.png", folder / "0", count=2) == [3, 4]


def test_a_broken_picture_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "0" / "2.png").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING):
        assert _widths(folder / "0", count=9) == [0, 4, 6, 8]
    assert "2.png is left out: not_an_image" in caplog.text


def test_too_few_are_one_sentence(folder: Path) -> None:
    for paths, words in (((folder / "none",), "no such file"), ((), "found 0")):
        with pytest.raises(InputError, match=words):
            read_pictures(paths, count=4)
    with pytest.raises(InputError, match="found 1"):
        read_pictures([folder / "0" / "0.png"], count=4)
