"""Vectors in one safetensors file, written and read through a memory map: never all in memory.

Shapes: n vectors, d width.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

from sauropod.errors import InputError
from sauropod.retrieve.draw import reserve
from sauropod.series import unfold

NAME = "vectors"


def create(path: Path, shape: tuple[int, int], *, metadata: dict[str, str]) -> np.ndarray:
    """Make a file for (n, d) float16 vectors and return the map to fill."""
    size = 2 * shape[0] * shape[1]
    told = {"dtype": "F16", "shape": list(shape), "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": metadata, NAME: told}).encode()
    header += b" " * (-len(header) % 8)
    reserve(path, size, head=len(header).to_bytes(8, "little") + header)
    if not size:
        return np.empty(shape, np.float16)
    return np.memmap(path, np.float16, "r+", offset=8 + len(header), shape=shape)


def mapped(path: Path) -> np.ndarray:
    """Map the (n, d) float16 vectors of a file; writes to the array stay in memory.

    Raises:
        InputError: the file is missing or cut off, or holds something else.
    """
    expected, fix = "a file of vectors", "make it with cluster_sample.py"
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            told = json.loads(file.read(min(length, 1 << 20)))[NAME]
        shape, stop = tuple(told["shape"]), told["data_offsets"][1]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(path, expected=expected, found=repr(error), fix=fix) from error
    size = path.stat().st_size
    if size != 8 + length + stop:
        found = f"{size} bytes instead of {8 + length + stop}"
        raise InputError(path, expected=expected, found=found, fix=fix)
    if not stop:
        return np.empty(shape, np.float16)
    return np.memmap(path, np.float16, "c", offset=8 + length, shape=shape)


def inputs(path: Path) -> tuple[Path, ...]:
    """Files that the vectors of a file were drawn from, as its metadata says."""
    with safe_open(path, framework="numpy") as file:
        return unfold(map(Path, json.loads((file.metadata() or {}).get("inputs", "[]"))))
