"""Every layout: its images open, show their class, and a missing piece is one sentence."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sauropod import images
from sauropod.errors import InputError
from sauropod.evaluate.config import LAYOUTS
from sauropod.evaluate.datasets.dataset import Clip
from sauropod.evaluate.datasets.read import read_dataset

Make = Callable[[str], Path]
WITH_SPLITS = LAYOUTS["classification"]
EVERY = (*WITH_SPLITS, *LAYOUTS["robustness"])


def red_or_green(image: object) -> int:
    """The label that an image or clip of a miniature shows."""
    if isinstance(image, Clip):
        pixels = np.stack([np.asarray(frame) for frame in image.read_frames(4)])
    else:
        pixels = np.asarray(images.decode(image.read_bytes()))  # type: ignore[attr-defined]
    red, green = pixels.reshape(-1, 3).mean(0)[:2]
    return int(green > red)


@pytest.mark.parametrize("layout", WITH_SPLITS)
def test_both_splits_are_listed_and_images_show_their_labels(layout: str, miniature: Make) -> None:
    dataset = read_dataset(miniature(layout), layout=layout)
    assert len(dataset.classes) == 2
    counts = {"train": 60 if layout == "caltech101" else 4, "test": 2}
    for name, split in dataset.splits.items():
        assert len(split.images) == len(split.labels) == counts[name]
        labels = split.labels if split.labels.ndim == 1 else split.labels.argmax(1)
        assert sorted(labels.tolist()) == sorted([0, 1] * (counts[name] // 2))
        shown = labels.tolist()
        if not layout.startswith("cifar"):  # white and black there
            shown = [red_or_green(image) for image in split.images]
        assert shown == labels.tolist()
        assert len(set(map(str, split.images))) == counts[name], "images need names of their own"


@pytest.mark.parametrize("layout", EVERY)
def test_what_is_missing_is_named(layout: str, miniature: Make) -> None:
    root = miniature(layout)
    shutil.rmtree(root)
    with pytest.raises(InputError, match=r"expected .* found no") as error:
        read_dataset(root, layout=layout)
    assert str(root) in str(error.value)
    root.mkdir()
    with pytest.raises(InputError, match=r"expected .* found no"):
        read_dataset(root, layout=layout)


def test_an_unknown_layout_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a known layout"):
        read_dataset(tmp_path, layout="imagnet")
