"""Pickles of plain data, read without executing them.

A pickle is a program that may call anything it can import. Ground truth of retrieval benchmarks
comes as pickles of dicts, lists, strings, numbers and NumPy arrays; nothing else is built here.
NumPy's own constructors are not called either, for they trust the types a pickle describes: an
array is read from its raw bytes, by a type that is one of the plain numbers.
"""

import math
import pickle
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from sauropod.errors import InputError

MAX_BYTES = 256 << 20
_PLAIN_NUMBER = re.compile(r"b1|[iu][1248]|f[248]")


class _Type:
    """Stands in for `numpy.dtype`: the code of a plain number and its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if not _PLAIN_NUMBER.fullmatch(code):
            message = f"an array of {code!r}"
            raise ValueError(message)
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            message = f"byte order {order!r}"
            raise ValueError(message)
        self.code = (order if order in ("<", ">") else "<") + self.code.lstrip("<>")

    def array(self, data: object, shape: tuple[int, ...], *, order: str) -> np.ndarray:
        raw = data.encode("latin1") if isinstance(data, str) else data  # str: of Python 2
        if not isinstance(raw, bytes | bytearray):
            message = "an array that holds no bytes"
            raise TypeError(message)
        flat = np.frombuffer(raw, dtype=self.code)
        if math.prod(shape) != flat.size:
            message = f"an array of shape {shape} in {len(raw)} bytes"
            raise ValueError(message)
        return flat.reshape(shape, order="F" if order == "F" else "C")


class PickledArray:
    """Stands in for the two ways NumPy builds an array; `array` is what it holds."""

    array: np.ndarray

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - as the pickle has it
        """Take nothing of an array whose state comes later, or bytes, type, shape and order."""
        self.array = np.empty(0)
        if len(arguments) == 4:
            data, kind, shape, order = arguments
            self.array = kind.array(data, shape, order=order)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take version, shape, type, whether by columns, and bytes."""
        _, shape, kind, by_columns, data = state
        self.array = kind.array(data, shape, order="F" if by_columns else "C")


class _Scalar:
    """Stands in for the constructor of NumPy's scalars."""

    def __new__(cls, kind: _Type, data: object) -> Any:  # noqa: ANN401
        return kind.array(data, (), order="C").item()

    def __setstate__(self, state: object) -> None:
        raise TypeError


class _Encoded:
    """Stands in for `_codecs.encode` and `bytes`, by which old protocols spell bytes."""

    def __new__(cls, text: str = "", encoding: str = "latin1") -> Any:  # noqa: ANN401
        if encoding != "latin1":
            message = f"bytes encoded as {encoding!r}"
            raise ValueError(message)
        return text.encode("latin1")

    def __setstate__(self, state: object) -> None:
        raise TypeError


_BUILT: dict[tuple[str, str], type] = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): PickledArray,
    ("_codecs", "encode"): _Encoded,
    ("__builtin__", "bytes"): _Encoded,
    **{
        (f"numpy.{core}.{module}", name): kind
        for core in ("core", "_core")
        for module, name, kind in (
            ("multiarray", "_reconstruct", PickledArray),
            ("multiarray", "scalar", _Scalar),
            ("numeric", "_frombuffer", PickledArray),
        )
    },
}


# The one in Python: that in C allocates whatever place in its memo a pickle names.
class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) not in _BUILT:
            message = f"a call of {module}.{name}"
            raise pickle.UnpicklingError(message)
        return _BUILT[module, name]


def read_plain(path: Path) -> object:
    """Read a pickle of dicts, lists, tuples, strings, numbers and arrays.

    Args:
        path: Pickle of any protocol, of Python 2 or 3.

    Returns:
        What it holds; NumPy arrays as `PickledArray`.

    Raises:
        InputError: no such file, too large, not a pickle, or one that holds anything else.
    """
    fix = "take the official file"
    if not path.is_file():
        raise InputError(path, expected="a pickle", found="no such file", fix=fix)
    if (size := path.stat().st_size) > MAX_BYTES:
        expected, found = f"at most {MAX_BYTES:,} bytes", f"{size:,}"
        raise InputError(path, expected=expected, found=found, fix=fix)
    try:
        return _Unpickler(BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # junk makes the reader fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        expected = "a pickle of plain data"
        raise InputError(path, expected=expected, found=reason, fix=fix) from None
