"""One process or many: who am I, how do ranks meet, which parameters are sharded.

`ranks` is the only place of the library that reads the environment: torchrun's variables, else
those of a Slurm step. One process uses none of `torch.distributed`.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import (
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor


@dataclass(frozen=True)
class Ranks:
    """Place of this process among all that train together."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 29500


def ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Read the place of this process from torchrun's or Slurm's variables; alone without them.

    Slurm's count only inside a step (`srun`): a batch script also sees the size of its allocation,
    but runs once.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Ranks(
            rank=int(environment["RANK"]),
            world_size=int(environment["WORLD_SIZE"]),
            local_rank=int(environment.get("LOCAL_RANK", "0")),
            address=environment.get("MASTER_ADDR", "127.0.0.1"),
            port=int(environment.get("MASTER_PORT", "29500")),
        )
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return Ranks(
            rank=int(environment["SLURM_PROCID"]),
            world_size=int(environment["SLURM_STEP_NUM_TASKS"]),
            local_rank=int(environment["SLURM_LOCALID"]),
            address=_first_host(environment["SLURM_STEP_NODELIST"]),
            # Jobs that share a node must not share a port.
            port=20000 + int(environment["SLURM_JOB_ID"]) % 20000,
        )
    return Ranks()


def _first_host(nodes: str) -> str:
    """First host of a Slurm list: `gpu[07-09,12],cpu1` gives `gpu07`."""
    return re.sub(r"\[(\w+).*$", r"\1", re.split(r",(?![^\[]*\])", nodes)[0])


def pick_device(name: str, place: Ranks) -> torch.device:
    """Resolve `auto` into this rank's CUDA device where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        torch.cuda.set_device(place.local_rank)
        return torch.device("cuda", place.local_rank)
    return torch.device(name)


@contextmanager
def joined(place: Ranks, device: torch.device) -> Iterator[None]:
    """Join the process group for the time of the block; nothing when alone."""
    if place.world_size == 1:
        yield
        return
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"tcp://{place.address}:{place.port}",
        rank=place.rank,
        world_size=place.world_size,
        device_id=device if device.type == "cuda" else None,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def shard(networks: Iterable[nn.Module], *, dtype: torch.dtype | None) -> None:
    """Shard networks over all ranks in place (FSDP2), one group per block; nothing when alone.

    Parameters are kept in float32, gathered as `dtype`, and gradients reduced in float32, as in
    DINOv2 for its heads.

    Args:
        networks: Backbones (anything with `blocks`) and heads, each called through `forward` or
            `forward_features`.
        dtype: Of the gathered parameters; None keeps float32.
    """
    if not dist.is_initialized():
        return
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for network in networks:
        for block in getattr(network, "blocks", ()):
            fully_shard(block, mp_policy=policy, reshard_after_forward=True)
        # A root keeps its parameters gathered until backward, which never comes for a teacher.
        fully_shard(network, mp_policy=policy, reshard_after_forward=True)
        if hasattr(network, "forward_features"):
            register_fsdp_forward_method(network, "forward_features")


def rank() -> int:
    """Rank of this process; 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together; 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def total(values: list[torch.Tensor | float], *, device: torch.device) -> list[float]:
    """Sum a few scalars over all ranks, in one reduction."""
    packed = torch.stack([torch.as_tensor(value, device=device).float() for value in values])
    if dist.is_initialized():
        dist.all_reduce(packed)
    return packed.tolist()


def group() -> dist.ProcessGroup | None:
    """The group of all ranks; None when alone."""
    return dist.group.WORLD if dist.is_initialized() else None


def gathered(module: nn.Module) -> dict[str, torch.Tensor]:
    """Full tensors of a sharded module's state on rank 0, on the CPU; elsewhere nothing."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(module, options=options)
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def whole(value: torch.Tensor) -> torch.Tensor:
    """Gather a sharded tensor; any other one as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value
