"""One process or many: who am I, how do ranks meet, which parameters are sharded.

`ranks` is the only place of the library that reads the environment: torchrun's variables, else
those of submitit's local executor or of a Slurm step. One process uses none of
`torch.distributed`, and imports none of FSDP here.
"""

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

T = TypeVar("T")

# How long ranks wait for one that died without a word before they end too.
PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Ranks:
    """Place of this process among all that train together."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 29500
    attempt: int = 0
    """How often torchrun started all ranks anew."""


def ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Read the place of this process from variables of torchrun, submitit or Slurm; else alone.

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
            attempt=int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")),
        )
    if int(environment.get("SUBMITIT_LOCAL_NTASKS", "1")) > 1:
        return Ranks(
            rank=int(environment["SUBMITIT_LOCAL_GLOBALID"]),
            world_size=int(environment["SUBMITIT_LOCAL_NTASKS"]),
            local_rank=int(environment["SUBMITIT_LOCAL_LOCALID"]),
            port=_port(environment["SUBMITIT_LOCAL_JOB_ID"]),
        )
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return Ranks(
            rank=int(environment["SLURM_PROCID"]),
            world_size=int(environment["SLURM_STEP_NUM_TASKS"]),
            local_rank=int(environment["SLURM_LOCALID"]),
            address=_first_host(environment["SLURM_STEP_NODELIST"]),
            port=_port(environment["SLURM_JOB_ID"]),
        )
    return Ranks()


def _port(job: str) -> int:
    """Jobs that share a node must not share a port."""
    return 20000 + int(job) % 20000


def _first_host(nodes: str) -> str:
    """First host of a Slurm list: `gpu[07-09,12],cpu1` gives `gpu07`."""
    return re.sub(r"\[(\w+).*$", r"\1", re.split(r",(?![^\[]*\])", nodes)[0])


def pick_device(name: str, place: Ranks) -> torch.device:
    """Resolve `auto` into this rank's CUDA device where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        # Slurm may show every task its own GPUs alone: then each is number 0.
        number = place.local_rank % max(torch.cuda.device_count(), 1)
        torch.cuda.set_device(number)
        return torch.device("cuda", number)
    return torch.device(name)


@contextmanager
def joined(place: Ranks, device: torch.device) -> Iterator[None]:
    """Join the process group for the time of the block; nothing when alone.

    After an error nobody is told goodbye, for the others may be in the middle of a collective that
    this rank will never join: they end when its connection does, or after `PATIENCE`.
    """
    if place.world_size == 1:
        yield
        return
    meeting = f"tcp://{place.address}:{place.port}"
    store, _, _ = next(rendezvous(meeting, place.rank, place.world_size, timeout=PATIENCE))
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        # torchrun keeps its store, which remembers where ranks listened that are dead by now.
        store=PrefixStore(f"attempt{place.attempt}", store),
        rank=place.rank,
        world_size=place.world_size,
        timeout=PATIENCE,
        device_id=device if device.type == "cuda" else None,
    )
    yield
    dist.destroy_process_group()


def shard(
    networks: Iterable[nn.Module],
    *,
    dtype: torch.dtype | None,
    parallel: Literal["fsdp", "ddp"] = "fsdp",
) -> None:
    """Spread networks over all ranks in place; nothing when alone.

    `fsdp` (FSDP2, one group per block) keeps a share of every parameter in float32 on each rank and
    gathers it as `dtype`. As in DINOv2, networks that learn stay gathered between forward and
    backward, gradients of backbones are reduced as `dtype` and those of heads in float32. `ddp`
    leaves every parameter on every rank; see `reducing`.

    Args:
        networks: Backbones (anything with `blocks`) and heads, each called through `forward`,
            `forward_features` or `forward_tokens`; equal on all ranks.
        dtype: Of gathered parameters; None keeps float32.
        parallel: Shard or replicate.
    """
    if not dist.is_initialized() or parallel == "ddp":
        return
    from torch.distributed.fsdp import (
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    # Features are views into the pack of all crops, which nobody writes into.
    warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view")
    for network in networks:
        blocks = getattr(network, "blocks", ())
        policy = MixedPrecisionPolicy(
            param_dtype=dtype, reduce_dtype=dtype if blocks else torch.float32
        )
        # What does not learn has no backward that would let go of gathered parameters.
        reshard = not any(parameter.requires_grad for parameter in network.parameters())
        for block in blocks:
            fully_shard(block, mp_policy=policy, reshard_after_forward=reshard)
        fully_shard(network, mp_policy=policy, reshard_after_forward=reshard)
        for method in ("forward_features", "forward_tokens"):
            if hasattr(network, method):
                register_fsdp_forward_method(network, method)


@contextmanager
def reducing(networks: Iterable[nn.Module], *, now: bool) -> Iterator[None]:
    """Backward passes inside add to gradients; if `now` these become means over all ranks.

    Ranks talk once per step however many parts it has. Replicated gradients travel as one vector
    per network: what is small enough to replicate is a few milliseconds of traffic, and the losses
    call networks in pieces, which the hooks of DistributedDataParallel cannot follow.

    Args:
        networks: Those that learn, as given to `shard`.
        now: Whether this is the last part of the step.
    """
    if not dist.is_initialized():
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    networks = list(networks)
    for network in networks:
        if isinstance(network, FSDPModule):
            network.set_requires_gradient_sync(now)
            network.set_reshard_after_backward(now)
    yield
    if now:
        for network in networks:
            if not isinstance(network, FSDPModule):
                _average_gradients(network)


def _average_gradients(network: nn.Module) -> None:
    """Replace gradients by their mean over ranks; all ranks ran the same graph."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    if not gradients:  # a head whose loss has no weight
        return
    vector = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(vector)
    means = (vector / world_size()).split([gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def rank() -> int:
    """Rank of this process; 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together; 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def any_rank(flag: torch.Tensor) -> torch.Tensor:
    """Whether a scalar bool is true on any rank; does not wait for the device."""
    if not dist.is_initialized():
        return flag
    number = flag.float()
    dist.all_reduce(number, op=dist.ReduceOp.MAX)
    return number > 0


def total(values: list[torch.Tensor | float], *, device: torch.device) -> list[float]:
    """Sum a few scalars over all ranks, in one reduction."""
    packed = torch.stack([torch.as_tensor(value, device=device).float() for value in values])
    return summed(packed).tolist()


def summed(values: torch.Tensor) -> torch.Tensor:
    """Sum over all ranks, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def group() -> dist.ProcessGroup | None:
    """The group of all ranks; None when alone."""
    return dist.group.WORLD if dist.is_initialized() else None


def all_gathered(value: T) -> list[T]:
    """A small object of every rank, in the order of ranks, on all of them."""
    if not dist.is_initialized():
        return [value]
    values = [value] * world_size()
    dist.all_gather_object(values, value)
    return values


def merged(parts: dict[str, T]) -> dict[str, T]:
    """Union of every rank's small dictionary, on all of them."""
    return {name: value for part in all_gathered(parts) for name, value in part.items()}


def gathered(module: nn.Module) -> dict[str, torch.Tensor]:
    """Full tensors of a sharded module's state on rank 0, on the CPU; elsewhere nothing."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(module, options=options)
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def whole(value: torch.Tensor) -> torch.Tensor:
    """Gather a sharded tensor; any other one as it is."""
    if not dist.is_initialized():
        return value
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value
