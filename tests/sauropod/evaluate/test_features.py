from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import Split
from sauropod.evaluate.features import Extractor, Features, extract


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
