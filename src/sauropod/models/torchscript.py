"""Tensors of a TorchScript archive, read without running the program that is in it.

Such an archive is a zip: `data.pkl` pickles the tree of modules, `data/0`, `data/1` ... are the
bytes of their tensors, and `code/` is a program, which `torch.jit.load` would run. Here the pickle
may name tensors and inert nodes only, and nobody looks at the program.
"""

import math
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


class _Node:
    """A module of the archive: its attributes and nothing else."""

    members: dict[str, Any]

    def __setstate__(self, state: object) -> None:
        self.members = state if isinstance(state, dict) else {}


class _Storage(NamedTuple):
    values: Tensor


class _Reader(pickle.Unpickler):
    """Unpickler of `data.pkl` that can build tensors and nodes and call nothing else."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        """The few names that are allowed."""
        if module.split(".")[0] == "__torch__":
            return _Node
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        msg = f"the name {module}.{name}"
        raise pickle.UnpicklingError(msg)

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401
        """The storage a tensor names: its dtype, key and number of elements."""
        _, dtype, key, _, count = pid
        entry = self._archive.getinfo(f"{self._root}/data/{key}")
        # Stored means no larger than the file itself.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != count * dtype.itemsize:
            msg = f"a storage {key} of another size"
            raise pickle.UnpicklingError(msg)
        data = bytearray(self._archive.read(entry))
        return _Storage(torch.frombuffer(data, dtype=dtype) if data else torch.empty(0).to(dtype))


def _tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> Tensor:
    if math.prod(size) > len(storage.values):  # a stride of zero would make much of little
        msg = f"a tensor of {math.prod(size)} values in a storage of {len(storage.values)}"
        raise pickle.UnpicklingError(msg)
    return torch.as_strided(storage.values, size, stride, offset).contiguous()


def tensors(path: Path) -> dict[str, Tensor]:
    """Read the parameters and buffers of a TorchScript archive by their dotted names.

    A frozen archive has none: freezing turns them into constants of the program.

    Raises:
        ValueError: the file is no such archive, is damaged, or pickles anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = archive.namelist()[0].split("/")[0]
            tree = _Reader(archive, root).load()
    except Exception as error:  # hostile bytes make zipfile and pickle fail in any way
        raise ValueError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    found: dict[str, Tensor] = {}
    waiting, seen = [("", tree)], set[int]()
    while waiting:
        prefix, node = waiting.pop()
        if id(node) in seen or not isinstance(node, _Node):
            continue
        seen.add(id(node))
        for name, value in node.__dict__.get("members", {}).items():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            else:
                waiting.append((f"{prefix}{name}.", value))
    return found


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with a program."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())
