"""Tensors of TorchScript archives: what torch.jit would give, and nothing in the file runs."""

import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from sauropod.models import torchscript


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.tied = self.first[0]
        self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).t())
        self.register_buffer("empty", torch.empty(0))
        self.register_buffer("small", torch.ones(2, dtype=torch.bfloat16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(Net().eval(), torch.ones(1, 2)), tmp_path / "n.pt")
    return tmp_path / "n.pt"


def test_the_tensors_are_those_of_torch_jit(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        expected = torch.jit.load(path).state_dict()
    found = torchscript.tensors(path)
    assert torchscript.is_archive(path)
    named = [{name.replace("tied.", "first.0.") for name in names} for names in (found, expected)]
    assert named[0] == named[1]  # a shared module has one of its names
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


class Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("evil"),))


@pytest.mark.parametrize("what", [Evil(), torch.nn.Linear(1, 1), print])
def test_other_names_are_refused(
    tmp_path: Path, what: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("e.pt", "w") as archive:
        archive.writestr("e/data.pkl", pickle.dumps(what, protocol=2))
        archive.writestr("e/code/__torch__.py", "")
    with pytest.raises(ValueError, match="the name"):
        torchscript.tensors(Path("e.pt"))
    assert not Path("evil").exists()


def test_sizes_that_the_file_does_not_hold(tmp_path: Path) -> None:
    """A tensor that reaches beyond its storage, and a storage that would be unpacked."""
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
    nine_of_four = b"K\x00K\x09\x85K\x01\x85\x89N"
    tensor = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + nine_of_four + b"tR."
    cases = (
        (zipfile.ZIP_STORED, "9 values in a storage of 4"),
        (zipfile.ZIP_DEFLATED, "a storage 0"),
    )
    for packing, message in cases:
        with zipfile.ZipFile(tmp_path / "t.pt", "w") as archive:
            archive.writestr("t/data.pkl", tensor)
            archive.writestr("t/data/0", b"\0" * 16, compress_type=packing)
        with pytest.raises(ValueError, match=message):
            torchscript.tensors(tmp_path / "t.pt")


def test_not_an_archive(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"junk")
    assert not torchscript.is_archive(tmp_path / "j")
    with pytest.raises(ValueError, match="BadZipFile"):
        torchscript.tensors(tmp_path / "j")
