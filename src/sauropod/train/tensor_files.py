"""Tensors of all ranks in safetensors files: the glue to torch.distributed.checkpoint (DCP).

Files are in the layout DCP has for Hugging Face, which any number of ranks reads back, sharded or
not; its own layout is a pickle. To be imported where a checkpoint is written or read, for it brings
all of torch.distributed.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from sauropod.errors import InputError
from sauropod.train import sharding


def file_of(rank: int) -> str:
    """Name of the file that a rank writes."""
    return f"rank-{rank:05d}.safetensors"


class _Writer(HuggingFaceStorageWriter):
    """Writes tensors from where they lie; the class it extends makes a second copy of all first."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write this rank's part of the plan into one file and flush it to the disk."""
        tensors, offsets, written = {}, {}, []
        for item in plan.items:
            tensor = planner.resolve_data(item)
            assert isinstance(tensor, Tensor)
            assert item.tensor_data is not None
            # safetensors knows one order of dimensions; channels-last weights have another.
            tensors[item.index.fqn] = tensor.detach().cpu().contiguous()
            offsets[item.index.fqn] = {"saved_offsets": item.tensor_data.chunk.offsets}
            written.append(WriteResult(item.index, tensor.nbytes, storage_data=None))
        path = Path(self.path) / file_of(sharding.rank())
        try:
            save_file(tensors, path, metadata={"DCP_SHARDING_INFO": json.dumps(offsets)})
        except SafetensorError as error:
            raise OSError(str(error)) from None
        with path.open("rb") as file:
            os.fsync(file.fileno())
        done: Future[list[WriteResult]] = Future()
        done.set_result(written)
        return done


def write(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write plain tensors, equal on all ranks, and sharded ones; all ranks call it.

    Raises:
        OSError: A disk refused, on any rank.
    """
    with _unwarned():
        try:
            save(dict(tensors), storage_writer=_Writer(str(folder), save_distributed=True))
        except CheckpointException as error:
            causes = [cause for cause, _ in error.failures.values()]
            if not all(isinstance(cause, OSError) for cause in causes):
                raise
            raise causes[0] from None


def outlines(folder: Path) -> dict[str, Tensor]:
    """Names, shapes and types of the tensors in a folder, as tensors without values.

    Raises:
        InputError: A file is no safetensors.
    """
    try:
        metadata = HuggingFaceStorageReader(str(folder)).read_metadata()
    except SafetensorError as error:
        fix = "take another checkpoint"
        raise InputError(folder, expected="safetensors", found=str(error), fix=fix) from None
    found = {}
    for name, tensor in metadata.state_dict_metadata.items():
        assert isinstance(tensor, TensorStorageMetadata)
        found[name] = torch.empty(tensor.size, dtype=tensor.properties.dtype, device="meta")
    return found


def read_into(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Fill tensors by name, sharded over whatever ranks there are; all ranks call it."""
    with _unwarned():
        load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)))


@contextmanager
def _unwarned() -> Iterator[None]:
    """Keep torch from warning that one process is alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
