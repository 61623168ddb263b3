"""Tensors of all ranks and facts in a folder that is whole or absent, and checked when it is read.

Every rank writes the tensors or shards it holds into one safetensors file (see `tensor_files`);
`facts.json` beside them has the facts, and the size and SHA-256 of every other file.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from sauropod import io
from sauropod.errors import InputError
from sauropod.train import sharding

FACTS = "facts.json"


def write(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    facts: Mapping[str, Any],
    beside: Callable[[Path], None] | None = None,
) -> None:
    """Write a folder under a temporary name, flush it to the disk, and rename it.

    Args:
        path: Folder to make, on a disk that every rank sees.
        tensors: Plain ones, equal on all ranks, and sharded ones.
        facts: Anything that JSON can hold.
        beside: Writes further files into the folder it is given; rank 0 calls it.

    Raises:
        InputError: The disk is full or refuses; nothing is left behind.
    """
    from sauropod.train import tensor_files

    temporary = temporary_of(path)
    first = sharding.rank() == 0
    with _clearing_up(temporary):
        if first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
    with _clearing_up(temporary):
        tensor_files.write(tensors, temporary)
        own = _digests([temporary / tensor_files.file_of(sharding.rank())])
    files = sharding.merged(own)
    with _clearing_up(temporary):
        if first:
            if beside:
                beside(temporary)
            files |= _digests(file for file in temporary.iterdir() if file.name not in files)
            whole = dict(facts) | {"files": files}
            io.write_json(whole | {"sha256": _digest(whole)}, temporary / FACTS)
            _flush(temporary)
            temporary.rename(path)
            _flush(path.parent)


def delete(path: Path) -> None:
    """Delete a folder so that half of it is never seen under its name."""
    shutil.rmtree(path.rename(temporary_of(path)))


def delete_leftovers(folder: Path) -> None:
    """Delete what a crash left of folders that were being written or deleted."""
    for path in folder.glob(".*.tmp/"):
        shutil.rmtree(path)


def temporary_of(path: Path) -> Path:
    """Where a folder lies while it is written or deleted."""
    return path.with_name(f".{path.name}.tmp")


def verified(path: Path, *, otherwise: str) -> dict[str, Any]:
    """The facts of a folder, after comparing every file with what was written.

    Ranks share the reading; all of them call it.

    Args:
        path: The folder.
        otherwise: What the user can do when it is broken.

    Raises:
        InputError: A file is missing, added, truncated or altered; names it.
    """

    def broken(name: str, *, expected: str, found: str) -> InputError:
        return InputError(path / name, expected=expected, found=found, fix=otherwise)

    try:
        facts = json.loads((path / FACTS).read_text())
        sealed, files = facts.pop("sha256"), facts["files"]
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise broken(FACTS, expected="readable facts", found=repr(error)) from None
    if sealed != _digest(facts):
        raise broken(FACTS, expected="what was written", found="other text")
    here = {file.name: file.stat().st_size for file in path.iterdir() if file.name != FACTS}
    for name in sorted(files.keys() ^ here.keys()):
        found = "a file that nobody wrote" if name in here else "no such file"
        raise broken(name, expected=f"the {len(files)} files that were written", found=found)
    for name, size in here.items():
        if size != files[name]["bytes"]:
            expected = f"{files[name]['bytes']:,} bytes"
            raise broken(name, expected=expected, found=f"{size:,}")
    share = sorted(here)[sharding.rank() :: sharding.world_size()]
    for name, digest in sharding.merged(_digests(path / name for name in share)).items():
        if digest != files[name]:
            raise broken(name, expected="the bytes that were written", found="others")
    return facts


@contextmanager
def _clearing_up(temporary: Path) -> Iterator[None]:
    """Turn what the disk refused to one rank into one sentence on all, and leave nothing behind."""
    refused = ""
    try:
        yield
    except OSError as error:
        refused = str(error)
    for problem in filter(None, sharding.all_gathered(refused)):
        if sharding.rank() == 0:
            shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(
            temporary.parent,
            expected="room for a checkpoint",
            found=problem,
            fix="make some and run again: the checkpoints before are whole",
        )


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _digests(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    return {f.name: {"bytes": f.stat().st_size, "sha256": io.sha256_file(f)} for f in files}


def _flush(folder: Path) -> None:
    """Push the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
