"""Tensors on disk: any kind comes back as it was, a refusing disk says so, nothing is ever run."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from tests.sauropod.train.conftest import small_files

from sauropod.errors import InputError
from sauropod.train import tensor_files

TENSORS = {
    "a": torch.arange(6.0).view(2, 3),
    "b.c": torch.tensor(3),
    "none": torch.zeros(0, 2),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
}


class Bomb:
    """Unpickling makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (f"touch {self.marker}",)


def bomb(marker: Path) -> bytes:
    return pickle.dumps(Bomb(marker))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tensor_files.write(TENSORS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [tensor_files.file_of(0)]
    outlines = tensor_files.outlines(tmp_path)
    read = {name: torch.empty_like(value, device="cpu") for name, value in outlines.items()}
    tensor_files.read_into(read, tmp_path)
    assert read.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name], value)


def test_the_disk_refuses(tmp_path: Path) -> None:
    with small_files(), pytest.raises(OSError, match="File too large"):
        tensor_files.write(TENSORS, tmp_path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    tensor_files.write(TENSORS, tmp_path)
    for name in (".metadata", "__0_0.distcp"):  # pickles of DCP's own layout
        (tmp_path / name).write_bytes(bomb(marker))
    tensor_files.read_into({"a": torch.zeros(2, 3)}, tmp_path)
    (tmp_path / tensor_files.file_of(0)).write_bytes(bomb(marker))
    with pytest.raises(InputError, match=f"{tmp_path}: expected safetensors"):
        tensor_files.outlines(tmp_path)
    assert not marker.exists()
    pickle.loads(bomb(marker))  # it would have
    assert marker.exists()
