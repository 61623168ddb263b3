from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import Split
from sauropod.evaluate.features import Extractor, Features, extract
from sauropod.images import ImageError


def _split(folder: Path, num: int) -> Split:
    folder.mkdir(exist_ok=True)
    for i in range(num):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / f"{i}.png")
    paths = tuple(folder / f"{i}.png" for i in range(num))
    return Split(paths, np.arange(num) % 2)


def _prepare(image: Image.Image) -> np.ndarray:
    return np.asarray(image)[0, 0].astype(np.float32)


def _forward(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return batch[:, None], batch * 2


def _extract(split: Split, *, batch_size: int = 4, num_threads: int = 2) -> Features:
    return extract(
        Extractor(_prepare, _forward),
        split=split,
        batch_size=batch_size,
        num_threads=num_threads,
        device="cpu",
        label="test",
    )


@pytest.mark.parametrize(("batch_size", "num_threads"), [(1, 1), (4, 2), (100, 3)])
def test_order_is_kept_whatever_the_batches(
    tmp_path: Path, batch_size: int, num_threads: int
) -> None:
    found = _extract(_split(tmp_path, 37), batch_size=batch_size, num_threads=num_threads)
    assert found.cls[:, 0, 0].tolist() == list(range(37))
    assert torch.equal(found.patch_mean, found.cls[:, 0] * 2)
    assert found.rows.tolist() == list(range(37))


def test_unreadable_images_are_counted_and_left_out(tmp_path: Path) -> None:
    split = _split(tmp_path, 5)
    split.images[1].write_bytes(b"no image at all")
    split.images[2].write_bytes(split.images[2].read_bytes()[:50])
    found = _extract(split)
    assert found.cls[:, 0, 0].tolist() == [0, 3, 4]
    assert found.rows.tolist() == [0, 3, 4]
    assert sum(found.unreadable.values()) == 2
    assert found.unreadable["not_an_image"] == 1


def test_nothing_readable_is_the_users_mistake(tmp_path: Path) -> None:
    split = _split(tmp_path / "class", 2)
    for path in split.images:
        path.write_bytes(b"x")
    with pytest.raises(InputError, match="found none of 2"):
        _extract(split)


class Still:
    """A clip of frames whose red is 10, 20, 30 ..., or one that cannot be read."""

    def __init__(self, start: int) -> None:
        self.start = start

    def read_frames(self, count: int) -> list[Image.Image]:
        if self.start < 0:
            raise ImageError("decode_error")
        return [Image.new("RGB", (4, 4), (self.start + 10 * k, 0, 0)) for k in range(count)]


def _two_blocks(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.stack([batch, batch + 1], dim=1), batch * 2


@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_frames_of_a_clip_are_averaged_or_stand_side_by_side(batch_size: int) -> None:
    split = Split((Still(0), Still(-1), Still(5)), np.zeros(3, np.int64))
    settings = {"split": split, "batch_size": batch_size, "num_threads": 1, "device": "cpu"}
    settings |= {"label": "x", "frames": 3}
    mean, concat = (
        extract(Extractor(_prepare, _two_blocks), pooling=pooling, **settings)
        for pooling in ("mean", "concat")
    )
    assert mean.rows.tolist() == [0, 2]
    assert mean.unreadable == {"decode_error": 1}
    assert mean.cls[:, :, 0].tolist() == [[10, 11], [15, 16]]
    assert concat.cls.shape == (2, 2, 9)  # two blocks, three frames of width 3
    assert concat.cls[:, 1, ::3].tolist() == [[1, 11, 21], [6, 16, 26]]
    assert concat.patch_mean[1, ::3].tolist() == [10, 30, 50]
