from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sauropod import images
from sauropod.errors import InputError
from sauropod.evaluate.photos import Cropped, Embedded, named_photos, photos_in, unreadable_rows


def test_a_cropped_photo_is_the_box_of_the_photo(tmp_path: Path) -> None:
    random = np.random.Generator(np.random.Philox(key=0))
    pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cropped = Cropped(tmp_path / "a.png", (3.0, 4.0, 13.0, 19.0))
    found = np.asarray(images.decode(cropped.read_bytes()))
    np.testing.assert_array_equal(found, pixels[4:19, 3:13])
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(images.ImageError, match="not_an_image"):
        cropped.read_bytes()
    assert str(cropped) != str(Cropped(tmp_path / "a.png", (0.0, 0.0, 1.0, 1.0)))


def test_the_head_of_a_list_leaves_the_broken_out() -> None:
    whole = Embedded(torch.arange(8.0).reshape(4, 2), np.array([0, 2, 3, 5]), 6)
    head = whole.head(4)
    assert head.count == 4
    assert head.kept.tolist() == [0, 2, 3]
    assert torch.equal(head.features, whole.features[:3])
    rows = unreadable_rows(whole=whole, head=head)
    assert [(row.metric, row.value, row.num_samples) for row in rows] == [
        ("unreadable_whole", 2, 6),
        ("unreadable_head", 1, 4),
    ]


def test_photos_in_a_folder(tmp_path: Path, touch: Callable) -> None:
    touch(tmp_path, "p/b.JPG", "p/a.png", "p/notes.txt", "empty/notes.txt")
    assert [path.name for path in photos_in(tmp_path / "p", fix="x")] == ["a.png", "b.JPG"]
    for folder, words in (("none", "no such folder"), ("empty", "no image")):
        with pytest.raises(InputError, match=f"{words}; do this"):
            photos_in(tmp_path / folder, fix="do this")


def test_named_photos(tmp_path: Path, touch: Callable) -> None:
    touch(tmp_path, "b.jpg", "a.jpg")
    book = tmp_path / "list.json"
    assert len(named_photos(tmp_path, ["b.jpg", "a.jpg"], by=book, fix="x")) == 2
    with pytest.raises(InputError, match=r"c\.jpg.*4 images that list\.json names.*2 missing"):
        named_photos(tmp_path, ["a.jpg", "c.jpg", "b.jpg", "d.jpg"], by=book, fix="x")
    with pytest.raises(InputError, match="found none"):
        named_photos(tmp_path, [], by=book, fix="x")
