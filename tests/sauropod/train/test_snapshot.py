"""A folder of tensors: any change of it is found and named, and nothing in it is ever run."""

import os
from pathlib import Path

import pytest
from tests.sauropod.train.test_tensor_files import TENSORS, bomb

from sauropod.errors import InputError
from sauropod.train import snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "all" / "snapshot"
    snapshot.write(path, TENSORS, facts={"step": 3, "x": 0.1})
    return path


def tensors_of(folder: Path) -> Path:
    (path,) = folder.glob("*.safetensors")
    return path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_facts_are_read_back(folder: Path) -> None:
    facts = snapshot.verified(folder, otherwise="")
    assert (facts["step"], facts["x"]) == (3, 0.1)
    assert [path.name for path in folder.parent.iterdir()] == ["snapshot"]


def test_every_change_is_found_and_named(folder: Path) -> None:
    facts, tensors = folder / snapshot.FACTS, tensors_of(folder)
    changes = {
        tensors: [
            lambda: flip(tensors),
            lambda: os.truncate(tensors, 10),
            tensors.unlink,
        ],
        facts: [
            lambda: os.truncate(facts, facts.stat().st_size - 9),
            lambda: facts.write_text(facts.read_text().replace('"step": 3', '"step": 4')),
            lambda: facts.write_text("[]"),
            lambda: facts.write_bytes(b"\xff"),
            facts.unlink,
        ],
        folder / "more": [(folder / "more").touch],
    }
    whole = {path: path.read_bytes() for path in (facts, tensors)}
    for path, ways in changes.items():
        for change in ways:
            change()
            with pytest.raises(InputError, match=rf"{path}: expected .*; do this"):
                snapshot.verified(folder, otherwise="do this")
            for file, data in whole.items():
                file.write_bytes(data)


def test_a_pickle_is_no_part_of_it(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (folder / ".metadata").write_bytes(bomb(marker))  # what torch.distributed.checkpoint unpickles
    with pytest.raises(InputError, match=r"\.metadata: .* found a file that nobody wrote"):
        snapshot.verified(folder, otherwise="")
    assert not marker.exists()
