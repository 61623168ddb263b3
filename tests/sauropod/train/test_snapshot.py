"""A folder of tensors: any change of it is found and named, and nothing in it is ever run."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from sauropod.errors import InputError
from sauropod.train import snapshot

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b.c": torch.tensor(3), "none": torch.zeros(0, 2)}


class Bomb:
    """Unpickling makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (f"touch {self.marker}",)


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


def seal(folder: Path) -> None:
    """What a forger does who has read this file: make the facts fit the files."""
    facts = json.loads((folder / snapshot.FACTS).read_text())
    del facts["sha256"]
    facts["files"] = {
        file.name: {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in folder.iterdir()
        if file.name != snapshot.FACTS
    }
    facts["sha256"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    (folder / snapshot.FACTS).write_text(json.dumps(facts))


def test_what_is_written_is_read(folder: Path) -> None:
    facts = snapshot.verified(folder, otherwise="")
    assert (facts["step"], facts["x"]) == (3, 0.1)
    outlines = snapshot.outlines(folder)
    read = {name: torch.empty_like(value, device="cpu") for name, value in outlines.items()}
    snapshot.read_into(read, folder)
    assert read.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name], value)
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


def test_nothing_is_unpickled(folder: Path, tmp_path: Path) -> None:
    marker, tensors = tmp_path / "marker", tensors_of(folder)
    bomb = pickle.dumps(Bomb(marker))
    (folder / ".metadata").write_bytes(bomb)  # where DCP's own format has a pickle
    with pytest.raises(InputError, match="a file that nobody wrote"):
        snapshot.verified(folder, otherwise="")
    (folder / "__0_0.distcp").write_bytes(bomb)
    seal(folder)
    snapshot.verified(folder, otherwise="")
    read = {"a": torch.zeros(2, 3)}
    snapshot.read_into(read, folder)
    assert torch.equal(read["a"], TENSORS["a"])
    tensors.write_bytes(bomb)
    seal(folder)
    snapshot.verified(folder, otherwise="")
    with pytest.raises(InputError, match="safetensors"):
        snapshot.outlines(folder)
    assert not marker.exists()
    os.system(f"touch {marker}")
    assert marker.exists()
