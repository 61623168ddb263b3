"""Trained dense heads as one safetensors file, to predict with later.

Tensors are named `<head>.<parameter>`; the metadata holds what the heads need beside them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from sauropod import io
from sauropod.errors import InputError
from sauropod.evaluate.dense.config import Depth, Segmentation
from sauropod.evaluate.dense.depth import Heads, build_heads
from sauropod.evaluate.dense.depth_sets import Protocol
from sauropod.evaluate.dense.patch_maps import Mapper
from sauropod.evaluate.dense.segmentation import LinearHead, MapperOf, recipe_of
from sauropod.load_config import build

M = TypeVar("M", bound=nn.Module)

FIX = "give the heads that evaluate_segmentation.py or evaluate_depth.py wrote for this backbone"


class SegmentationFile(NamedTuple):
    """Segmentation heads, their classes and knobs."""

    heads: dict[str, LinearHead]
    classes: tuple[str, ...]
    knobs: Segmentation


class DepthFile(NamedTuple):
    """Depth heads, the protocol they were trained by and their knobs."""

    heads: Heads
    protocol: Protocol
    knobs: Depth


def save_segmentation(
    heads: Mapping[str, LinearHead],
    path: Path,
    *,
    classes: tuple[str, ...],
    knobs: Segmentation,
    stamp: Mapping[str, str],
) -> None:
    """Write segmentation heads, atomically."""
    _save(heads, path, facts={"classes": classes, "segmentation": asdict(knobs)}, stamp=stamp)


def save_depth(
    heads: Heads, path: Path, *, protocol: Protocol, knobs: Depth, stamp: Mapping[str, str]
) -> None:
    """Write depth heads, atomically."""
    facts = {"protocol": asdict(protocol), "depth": asdict(knobs)}
    _save(heads, path, facts=facts, stamp=stamp)


def load_segmentation(path: Path, *, mapper_of: MapperOf, device: str) -> SegmentationFile:
    """Read segmentation heads, in evaluation mode.

    Args:
        path: What `save_segmentation` wrote.
        mapper_of: The backbone they were trained on.
        device: Where.

    Raises:
        InputError: no such file, or heads of another kind or backbone.
    """
    facts, tensors = _load(path, kind="segmentation")
    knobs = build(Segmentation, facts["segmentation"], str(path))
    classes = tuple(facts["classes"])
    heads = {}
    for name in knobs.heads:
        mapper = mapper_of(recipe_of(name, knobs=knobs).num_blocks)
        width = mapper.num_layers * mapper.width
        head = LinearHead(width, num_classes=len(classes), generator=torch.Generator())
        heads[name] = _filled(head, tensors, name=name, path=path).to(device)
    return SegmentationFile(heads, classes, knobs)


def load_depth(path: Path, *, mapper: Mapper, device: str) -> DepthFile:
    """Read depth heads, in evaluation mode; arguments and errors as in `load_segmentation`."""
    facts, tensors = _load(path, kind="depth")
    knobs = build(Depth, facts["depth"], str(path))
    protocol = build(Protocol, facts["protocol"], str(path))
    heads = build_heads(mapper, knobs=knobs, max_depth=protocol.max_depth, device="cpu")
    for name, head in heads.items():
        _filled(head, tensors, name=name, path=path).to(device)
    return DepthFile(heads, protocol, knobs)


def _save(
    heads: Mapping[str, nn.Module], path: Path, *, facts: object, stamp: Mapping[str, str]
) -> None:
    tensors = {
        f"{name}.{key}": value.contiguous().cpu()
        for name, head in heads.items()
        for key, value in head.state_dict().items()
    }
    with io.replacing(path) as temporary:
        save_file(tensors, temporary, metadata={**stamp, "facts": json.dumps(facts)})


def _load(path: Path, *, kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # junk makes the reader fail in any way
        expected, found = "trained heads", f"none that can be read ({error})"
        raise InputError(path, expected=expected, found=found, fix=FIX) from error
    if kind not in facts:
        found = "other tensors" if not facts else "heads of another kind"
        raise InputError(path, expected=f"{kind} heads", found=found, fix=FIX)
    return facts, tensors


def _filled(head: M, tensors: Mapping[str, torch.Tensor], *, name: str, path: Path) -> M:
    prefix = f"{name}."
    own = {key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)}
    try:
        head.load_state_dict(own)
    except RuntimeError as error:
        expected, found = f"a head {name} for this backbone", "other shapes"
        raise InputError(path, expected=expected, found=found, fix=FIX) from error
    return head.eval()
