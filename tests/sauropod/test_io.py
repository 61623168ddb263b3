"""Files exist whole or not at all; tars read back; hostile tars are named."""

import errno
import os
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from sauropod import io
from sauropod.errors import InputError

FULL = os.strerror(errno.ENOSPC)


def test_replacing_leaves_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), io.replacing(path) as temporary:
        temporary.write_text("half" * (1 // len("")))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_makes_the_folder_and_keeps_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.parquet"
    with io.replacing(path) as temporary:
        assert temporary.suffix == ".parquet"
        assert temporary.parent == path.parent
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_equal_tensors_are_equal_files(tmp_path: Path) -> None:
    """Their writer hands out metadata in the order of a hash map, another at every call."""
    made_by = {f"key {i}": f'a "quoted" \u00e4\n{i}' for i in range(30)}
    written = []
    for i in range(3):
        path = tmp_path / f"{i}.safetensors"
        with io.replacing(path) as temporary:
            save_file({"a": np.arange(6.0), "b": np.ones(2, np.int8)}, temporary, made_by)
        with safe_open(path, "np") as file:
            assert file.metadata() == made_by
            np.testing.assert_array_equal(file.get_tensor("a"), np.arange(6.0))
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]


@settings(max_examples=20, deadline=None)
@given(members=st.lists(st.binary(max_size=1500), max_size=6))
def test_tar_round_trip(members: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("tar") / "shard.tar"
    with io.TarWriter(path) as tar:
        offsets = [tar.add(f"{i:03d}.bin", data) for i, data in enumerate(members)]
    for offset, data in zip(offsets, members, strict=True):
        assert io.read_range(path, offset=offset, num_bytes=len(data)) == data
    listed = [
        (f"{i:03d}.bin", o, len(d)) for i, (o, d) in enumerate(zip(offsets, members, strict=True))
    ]
    assert list(io.tar_members(path)) == listed
    with tarfile.open(path) as independent:  # the standard library agrees
        assert [m.name for m in independent] == [name for name, _, _ in listed]


def test_same_members_same_bytes(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        with io.TarWriter(tmp_path / name) as tar:
            tar.add("x.jpg", b"pixels")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_tar_is_not_left_half_written(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), io.TarWriter(tmp_path / "a.tar") as tar:
        tar.add("x", bytes(1 // len(b"")))
    assert list(tmp_path.iterdir()) == []


def test_links_and_folders_in_a_tar_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        folder = tarfile.TarInfo("../..")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    assert list(io.tar_members(path)) == []


def test_truncated_tar_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.tar"
    with io.TarWriter(path) as tar:
        tar.add("x.bin", bytes(5000))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cut\.tar: expected"):
        list(io.tar_members(path))


def test_threads_that_open_the_same_file_at_once(tmp_path: Path) -> None:
    together = Barrier(8)

    def read(i: int) -> bytes:
        together.wait()
        return io.read_range(tmp_path / f"{i}", offset=3, num_bytes=2)

    with ThreadPoolExecutor(8) as pool:
        for i in range(200):
            (tmp_path / f"{i}").write_bytes(bytes([i]) * 10)
            assert list(pool.map(read, [i] * 8)) == [bytes([i]) * 2] * 8


@pytest.mark.parametrize("content", [None, b"short"])
def test_read_range_names_a_missing_or_short_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "shard.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"shard\.tar: expected"):
        io.read_range(path, offset=0, num_bytes=10)


def test_stamp_is_canonical() -> None:
    first = io.stamp("embed", knobs={"b": 1, "a": 2}, inputs=[Path("x")])
    second = io.stamp("embed", knobs={"a": 2, "b": 1}, inputs=[Path("x")])
    assert first == second
    assert first["stage"] == "embed"
    assert first["inputs"] == '["x"]'


def test_permissions_are_those_of_the_umask(tmp_path: Path) -> None:
    def private(path: Path) -> None:  # as safetensors writes
        path.write_bytes(b"new")
        path.chmod(0o600)

    before = os.umask(0o027)
    try:
        with io.replacing(tmp_path / "a.bin") as temporary:
            private(temporary)
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640


def test_a_new_folder_is_whole_or_absent_and_replaces_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "model"
    with pytest.raises(ZeroDivisionError), io.new_folder(folder) as temporary:
        (temporary / "half").write_text("x" * (1 // len("")))
    assert list(folder.parent.iterdir()) == []
    for _ in range(2):  # an empty folder is as good as none
        with io.new_folder(folder) as temporary:
            (temporary / "file").write_text("whole")
        assert [path.name for path in folder.parent.iterdir()] == ["model"]
        (folder / "file").unlink()
    (folder / "mine").write_text("keep")
    with pytest.raises(InputError, match="found one with files"), io.new_folder(folder):
        pass
    with pytest.raises(InputError, match="found a file"), io.new_folder(folder / "mine"):
        pass
    assert (folder / "mine").read_text() == "keep"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, FULL), RuntimeError(f"io error: {FULL}")])
@pytest.mark.parametrize("context", [io.replacing, io.scratch])
def test_a_full_disk_is_the_users_sentence(
    context: Callable[[Path], Any], error: Exception, tmp_path: Path
) -> None:
    def fails(error: Exception) -> None:
        with context(tmp_path / "a") as there:
            (there if context is io.replacing else there / "b").write_text("half")
            raise error

    with pytest.raises(InputError, match="a: expected room on its disk, found no space left"):
        fails(error)
    with pytest.raises(ValueError, match="other"):
        fails(ValueError("other"))
    assert list(tmp_path.iterdir()) == []
