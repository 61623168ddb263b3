"""Files that exist whole or not at all: atomic replacement, provenance, uncompressed tar shards."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sauropod.errors import InputError
from sauropod.series import fold


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success fsync it and rename it over `path`.

    The folder is made when missing; the file's permissions are those the umask gives, and what is
    equal in a `.safetensors` has equal bytes. On any exception the temporary file is removed and
    `path` is left as it was.

    Raises:
        InputError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with _room_for(path):
            temporary.touch()
            mode = temporary.stat().st_mode
            temporary.unlink()
            yield temporary
            if path.suffix == ".safetensors":
                _sort_metadata(temporary)
            temporary.chmod(mode)  # some writers, like safetensors, leave files to the owner alone
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sort_metadata(path: Path) -> None:
    """Sort what a safetensors file says of itself: it is written as a hash map hands it out."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size, path
        file.seek(8)
        file.write(text.ljust(size))


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success rename it to `path`.

    Raises:
        InputError: there is something at `path` already; nothing of the user's is replaced.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        fix = "name another folder, or remove this one"
        found = "a file" if path.is_file() else "one with files"
        raise InputError(path, expected="a folder yet to be made", found=found, fix=fix)
    temporary = _temporary(path)
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process with this number
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """Yield a folder on the disk of a file to be written; it is removed whatever happens.

    Raises:
        InputError: the disk is full.
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory(prefix=".scratch-", dir=beside.parent)
    with folder as name, _room_for(beside):
        yield Path(name)


@contextlib.contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """Turn a full disk, which every writer reports in its own way, into the user's sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        full = os.strerror(errno.ENOSPC)
        if full not in str(error):
            raise
        fix = "free some, and run again: what is not whole was removed"
        raise InputError(path, expected="room on its disk", found=full.lower(), fix=fix) from error


def _temporary(path: Path) -> Path:
    # The suffix stays last: some writers choose their format by it.
    return path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")


@cache
def commit() -> str:
    """Git commit of the running code, with `+dirty` when the tree has changes, or `unknown`."""
    here = Path(__file__).parent
    ask = ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--dirty=+dirty"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip() or "unknown"


def stamp(stage: str, *, knobs: object, inputs: Iterable[Path]) -> dict[str, str]:
    """Provenance that every output carries in its metadata.

    Args:
        stage: Name of the stage, the same word as its script.
        knobs: The stage's knob dataclass instance (or a mapping); spelled as canonical JSON.
        inputs: Files the output was made from, named as given.

    Returns:
        Keys `stage`, `commit`, `knobs` (JSON) and `inputs` (JSON list, runs of shards folded).
    """
    values: Any = knobs
    if dataclasses.is_dataclass(knobs) and not isinstance(knobs, type):
        values = dataclasses.asdict(knobs)
    return {
        "stage": stage,
        "commit": commit(),
        "knobs": json.dumps(values, sort_keys=True, default=str),
        "inputs": json.dumps(fold(inputs)),
    }


def write_json(value: object, path: Path) -> None:
    """Write a value as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


def sha256_file(path: Path) -> str:
    """Lower-case hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class TarWriter:
    """Writes an uncompressed ustar file atomically; the same members give the same bytes.

    Use as a context manager; `add` returns the byte offset at which the member's data starts, so
    that `(tar, offset, num_bytes)` is enough to read it back with one `pread`.
    """

    def __init__(self, path: Path) -> None:
        """Prepare to write `path`; nothing exists under that name until the block ends well."""
        self._replacing = replacing(path)

    def __enter__(self) -> Self:
        """Open the temporary file."""
        self._file = self._replacing.__enter__().open("wb")
        self._offset = 0
        return self

    def add(self, name: str, data: bytes) -> int:
        """Append one member and return the byte offset of its data."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o644
        header = info.tobuf(tarfile.USTAR_FORMAT)
        padding = -len(data) % tarfile.BLOCKSIZE
        self._file.write(header)
        self._file.write(data)
        self._file.write(b"\0" * padding)
        start = self._offset + len(header)
        self._offset = start + len(data) + padding
        return start

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close with the two zero blocks tar wants and rename, or remove on error."""
        if kind is None:
            self._file.write(b"\0" * (2 * tarfile.BLOCKSIZE))
        self._file.close()
        self._replacing.__exit__(kind, error, trace)


def tar_members(path: Path) -> Iterator[tuple[str, int, int]]:
    """List a tar shard's regular files without extracting anything.

    Yields:
        `(name, offset of the data, size in bytes)` in file order. Links, devices and folders are
        passed over; names are data and never used as paths.

    Raises:
        InputError: the file is missing, compressed, truncated or not a tar.
    """
    fix = "give an uncompressed, complete tar shard"
    try:
        with tarfile.open(path, mode="r:") as tar:
            size = path.stat().st_size
            for member in tar:
                if not member.isreg():
                    continue
                if member.offset_data + member.size > size:
                    found = f"member {member.name!r} ends beyond the file"
                    raise InputError(path, expected="a whole tar", found=found, fix=fix)
                yield member.name, member.offset_data, member.size
    except FileNotFoundError:
        raise InputError(path, expected="a tar shard", found="no such file", fix=fix) from None
    except tarfile.TarError as error:
        raise InputError(path, expected="a plain tar", found=str(error), fix=fix) from error


class _OpenFile:
    """A read-only descriptor that closes when the cache lets go of it."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self.descriptor)


_open_file = lru_cache(maxsize=256)(_OpenFile)


def read_range(path: Path, *, offset: int, num_bytes: int) -> bytes:
    """Read `num_bytes` at `offset` of a file with one `pread`; file descriptors are kept open.

    Raises:
        InputError: the file is missing or ends before the range does.
    """
    fix = "rerun the stage that wrote this shard, or put the file back"
    try:
        file = _open_file(
            path
        )  # held while it is read: another thread may push it out of the cache
        data = os.pread(file.descriptor, num_bytes, offset)
    except FileNotFoundError:
        raise InputError(path, expected="a tar shard", found="no such file", fix=fix) from None
    if len(data) != num_bytes:
        found = f"a file that ends {num_bytes - len(data)} bytes early"
        expected = f"{num_bytes} bytes at offset {offset}"
        raise InputError(path, expected=expected, found=found, fix=fix)
    return data
