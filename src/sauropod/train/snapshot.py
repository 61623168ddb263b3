"""Named tensors and facts in a folder that is whole or absent, whoever writes and reads it.

Every rank writes the tensors or shards it holds into one safetensors file, in the layout of
torch.distributed.checkpoint, which any number of ranks can read back, sharded or not. `facts.json`
beside them has the facts, and the size and SHA-256 of every other file. DCP's own format would be
unpickled; nothing here is.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from sauropod import io
from sauropod.errors import InputError
from sauropod.train import sharding

FACTS = "facts.json"
_SHARD = re.compile(r"shard-(\d+)-.*\.safetensors")


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
    temporary = temporary_of(path)
    first = sharding.rank() == 0
    with _clearing_up(temporary):
        if first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
    with _clearing_up(temporary):
        _write_tensors(tensors, temporary)
        if beside and first:
            beside(temporary)
        own = [file for file in temporary.iterdir() if _writer(file) == sharding.rank()]
        files = _digests(own)
    files = sharding.merged(files)
    with _clearing_up(temporary):
        if first:
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


def outlines(path: Path) -> dict[str, Tensor]:
    """Names, shapes and types of the tensors in a folder, as tensors without values.

    Raises:
        InputError: A file is no safetensors.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    try:
        metadata = HuggingFaceStorageReader(str(path)).read_metadata()
    except SafetensorError as error:
        fix = "take another checkpoint"
        raise InputError(path, expected="safetensors", found=str(error), fix=fix) from None
    found = {}
    for name, tensor in metadata.state_dict_metadata.items():
        assert isinstance(tensor, TensorStorageMetadata)
        found[name] = torch.empty(tensor.size, dtype=tensor.properties.dtype, device="meta")
    return found


def read_into(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill tensors of these names, sharded over whatever ranks there are, from a folder."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    with _unwarned():
        load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(path)))


def _write_tensors(tensors: Mapping[str, Tensor], folder: Path) -> None:
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    # safetensors knows one order of dimensions; channels-last weights have another.
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with _unwarned():
        save(plain, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))


@contextmanager
def _unwarned() -> Iterator[None]:
    """Keep torch from warning that one process is alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


@contextmanager
def _clearing_up(temporary: Path) -> Iterator[None]:
    """Turn what the disk refused to one rank into one sentence on all, and leave nothing behind."""
    from torch.distributed.checkpoint.api import CheckpointException

    refused = ""
    try:
        yield
    except OSError as error:
        refused = str(error)
    except CheckpointException as error:  # of all ranks, on all ranks
        causes = [cause for cause, _ in error.failures.values()]
        if not all(isinstance(cause, OSError) for cause in causes):
            raise
        refused = str(causes[0])
    for problem in filter(None, sharding.all_gathered(refused)):
        if sharding.rank() == 0:
            shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(
            temporary.parent,
            expected="room for a checkpoint",
            found=problem,
            fix="make some and run again: the checkpoints before are whole",
        )


def _writer(file: Path) -> int:
    """Rank that wrote a file."""
    name = _SHARD.fullmatch(file.name)
    return int(name[1]) - 1 if name else 0


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
