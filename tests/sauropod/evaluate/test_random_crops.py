"""Random crops: inside the image, keyed, and the same whatever the threads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.datasets.clips import Video
from sauropod.evaluate.datasets.dataset import Split
from sauropod.evaluate.random_crops import crop_batches, random_box, random_crop


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), seed=st.integers(0, 99))
def test_a_box_lies_inside_and_has_a_part_of_the_area(width: int, height: int, seed: int) -> None:
    left, top, right, bottom = random_box(width, height, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_flips_happen_half_of_the_times() -> None:
    picture = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3)))
    crops = [random_crop(picture, side=8, rng=np.random.default_rng(k)) for k in range(60)]
    rising = sum(int(crop[0, 0, 0]) < int(crop[0, 0, -1]) for crop in crops)
    assert 15 < rising < 45
    assert crops[0].shape == (3, 8, 8)


def _split(folder: Path) -> Split:
    for k in range(6):
        pixels = np.random.default_rng(k).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return Split(tuple(folder / f"{k}.png" for k in range(6)), np.arange(6))


def _batches(split: Split, threads: int = 1) -> list[tuple[torch.Tensor, torch.Tensor]]:
    settings = {"side": 8, "batch_size": 4, "steps": 3, "seed": 2}
    return list(crop_batches(split, num_threads=threads, **settings))


def test_threads_change_nothing_and_every_pass_sees_every_image(tmp_path: Path) -> None:
    split = _split(tmp_path)
    one, three = _batches(split), _batches(split, threads=3)
    for (pixels, labels), (other, same) in zip(one, three, strict=True):
        assert torch.equal(pixels, other)
        assert torch.equal(labels, same)
    labels = torch.cat([labels for _, labels in one])
    assert sorted(labels[:6].tolist()) == sorted(labels[6:].tolist()) == list(range(6))


def test_unreadable_images_are_left_out_until_none_is_left(tmp_path: Path) -> None:
    split = _split(tmp_path)
    (tmp_path / "0.png").write_bytes(b"junk")
    assert 0 not in torch.cat([labels for _, labels in _batches(split)]).tolist()
    for k in range(6):
        (tmp_path / f"{k}.png").unlink(missing_ok=True)
    with pytest.raises(InputError, match="none in a batch"):
        _batches(split)


def test_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found clips"):
        _batches(Split((Video(tmp_path),), np.zeros(1, np.int64)))
