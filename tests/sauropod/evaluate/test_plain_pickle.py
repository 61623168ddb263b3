import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.plain_pickle import PickledArray, read_plain


def _write(folder: Path, value: object, *, protocol: int) -> Path:
    path = folder / "value.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    value = {
        "names": ["a", "é", ""],
        "tuple": (1, -2.5, None, True, b"\x00\xff", b""),
        "scalar": np.float64(0.25),
        "arrays": [array, np.asfortranarray(array), array.astype(">i4"), np.empty(0)],
        "small": np.array([1, 255], np.uint8),
    }
    found: Any = read_plain(_write(tmp_path, value, protocol=protocol))
    assert found["names"] == value["names"]
    assert found["tuple"] == value["tuple"]
    assert found["scalar"] == 0.25
    assert all(isinstance(one, PickledArray) for one in found["arrays"])
    for one in found["arrays"][:3]:
        np.testing.assert_array_equal(one.array, array)
    assert found["arrays"][3].array.shape == (0,)
    np.testing.assert_array_equal(found["small"].array, [1, 255])


def test_python_2(tmp_path: Path) -> None:
    """As Python 2 with NumPy 1 wrote it: byte strings, `numpy.core`."""
    path = tmp_path / "two.pkl"
    path.write_bytes(
        b"\x80\x02}q\x01U\x04easyq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
        b"q\x04K\x00\x85q\x05U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x02\x85q\x09cnumpy\ndtype\nq\x0a"
        b"U\x02i4q\x0bK\x00K\x01\x87q\x0cRq\x0d(K\x03U\x01<q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff"
        b"\xffK\x00tq\x0fb\x89U\x08\x05\x00\x00\x00\x80\x00\x00\x00q\x10tq\x11bs."
    )
    found: Any = read_plain(path)
    np.testing.assert_array_equal(found["easy"].array, [5, 128])


class _Hostile:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read_plain(path)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert str(path) in sentence
    return sentence


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "victim"
    value = {"gnd": [_Hostile(os.mkdir, (str(victim),))]}
    assert "a call of" in _refused(_write(tmp_path, value, protocol=protocol))
    assert not victim.exists()


@pytest.mark.parametrize(
    "value",
    [
        _Hostile(eval, ("1 + 1",)),
        _Hostile(np.load, ("x",)),
        _Hostile(np.dtype, ("O",)),
        _Hostile(np.dtype, ("V8",)),
        np.array([{"a": 1}], dtype=object),
        np.zeros(2, dtype=[("a", "i4")]),
        np.array(["text"]),
        np.datetime64("2020-01-01"),
        {1}.__class__,
        Path("x"),
    ],
    ids=["call", "load", "object", "void", "objects", "fields", "text", "date", "type", "path"],
)
def test_anything_else_is_refused(tmp_path: Path, value: object) -> None:
    _refused(_write(tmp_path, value, protocol=4))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        b"\x80\x04",
        b"\x80\xff.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"cbuiltins\ngetattr\n(cnumpy\ndtype\nS'mro'\ntR.",
        b"\x80\x02cnumpy\ndtype\n}(X\x04\x00\x00\x00codeX\x01\x00\x00\x00Oub.",
        b"\x80\x02c_codecs\nencode\nN}X\x01\x00\x00\x00aK\x01s\x86b.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
        b"\x80\x02K\x01r\xff\xff\xff\x7f0h\x7f.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02X\x01\x00\x00\x00aQ.",
    ],
    ids=str,
)
def test_junk_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "junk.pkl"
    path.write_bytes(data)
    _refused(path)


def test_a_cut_or_forged_array_is_refused(tmp_path: Path) -> None:
    whole = pickle.dumps(np.arange(100), protocol=4)
    path = tmp_path / "cut.pkl"
    for data in (whole[:-90], whole.replace(b"Kd\x85", b"Kc\x85")):
        assert data != whole
        path.write_bytes(data)
        _refused(path)


def test_a_missing_or_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such file" in _refused(tmp_path / "none.pkl")
    monkeypatch.setattr("sauropod.evaluate.plain_pickle.MAX_BYTES", 10)
    assert "at most 10" in _refused(_write(tmp_path, list(range(100)), protocol=4))
