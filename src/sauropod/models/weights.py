"""Weights on disk: safetensors with the architecture in their metadata, and Meta's .pth files.

Parameter names are Meta's on both sides, so released weights load strictly and ours load elsewhere.
Nothing is unpickled beyond tensors.
"""

import dataclasses
import json
import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sauropod import io
from sauropod.errors import InputError
from sauropod.models.head import make_heads
from sauropod.models.layers import AttentionBackend
from sauropod.models.vit import ARCHS, Arch, VisionTransformer, arch_of
from sauropod.train.config import Backbone, Heads

KnobsT = TypeVar("KnobsT", Backbone, Heads)
_MODEL = "model_knobs"


def save_backbone(
    path: Path, vit: VisionTransformer, *, knobs: Backbone, stamp: Mapping[str, str]
) -> None:
    """Write a backbone, atomically.

    Args:
        path: safetensors file to write.
        vit: The backbone; full tensors, any device.
        knobs: Its architecture.
        stamp: Provenance from `io.stamp`.
    """
    _save(path, vit.state_dict(), knobs=knobs, stamp=stamp)


def load_backbone(
    path: Path, *, expect: Backbone | None = None, attention: AttentionBackend = "sdpa"
) -> tuple[VisionTransformer, Backbone]:
    """Read a backbone: ours, or a file that Meta released or trained.

    Args:
        path: safetensors of ours, or a .pth state dict.
        expect: Architecture the caller needs; drop_path and layerscale may differ and are taken
            from here. None takes what the file says.
        attention: Attention backend, speed only.

    Returns:
        The backbone on the CPU in evaluation mode, in fp32, and its knobs.

    Raises:
        InputError: not a readable weights file, or another architecture than its own metadata or
            `expect` says; names the first parameter that does not fit.
    """
    state, metadata = _read(path)
    knobs = expect or _knobs(path, metadata, kind=Backbone) or infer_backbone(path, state)
    with torch.device("meta"):
        vit = VisionTransformer(knobs, attention=attention)
    _assign(path, vit, state)
    return vit.eval(), knobs


def save_heads(path: Path, heads: nn.ModuleDict, *, knobs: Heads, stamp: Mapping[str, str]) -> None:
    """Write the projection heads (`dino_head`, perhaps `ibot_head`), atomically.

    Args:
        path: safetensors file to write.
        heads: Modules by name; others than the heads, such as the backbone, are left out.
        knobs: Their shape.
        stamp: Provenance from `io.stamp`.
    """
    state = {k: v for k, v in heads.state_dict().items() if not k.startswith("backbone.")}
    _save(path, state, knobs=knobs, stamp=stamp)


def load_heads(path: Path, *, expect: Heads | None = None) -> tuple[nn.ModuleDict, Heads]:
    """Read projection heads written by `save_heads`.

    Returns:
        `dino_head` and perhaps `ibot_head`, fp32 on the CPU, and their knobs.

    Raises:
        InputError: not a heads file, or of another shape than its metadata or `expect` says.
    """
    state, metadata = _read(path)
    knobs = expect or _knobs(path, metadata, kind=Heads)
    first = state.get("dino_head.mlp.0.weight")
    if knobs is None or first is None:
        fix = "name the heads.safetensors that lies beside the backbone"
        raise InputError(path, expected="heads saved by sauropod", found="none", fix=fix)
    with torch.device("meta"):
        heads = make_heads(knobs, embed_dim=first.shape[1])
    _assign(path, heads, state)
    return heads, knobs


@torch.no_grad()
def resize_pos_embed(
    vit: VisionTransformer, *, knobs: Backbone, image_size: int
) -> tuple[VisionTransformer, Backbone]:
    """The same backbone with position embeddings for another image size (paper, section 5).

    Args:
        vit: A backbone; not changed, its other parameters are shared with the result.
        knobs: Its architecture.
        image_size: New side of the image that `pos_embed` covers, pixels.

    Returns:
        Backbone and knobs; the table is the one `vit` itself interpolates for that size.
    """
    resized = dataclasses.replace(knobs, image_size=image_size)
    arch_of(resized)  # refuses a size that patches do not divide
    side = image_size // knobs.patch_size
    state = {**vit.state_dict(), "pos_embed": vit.position_table(side, side).clone()}
    with torch.device("meta"):
        result = VisionTransformer(resized, attention=vit.attention)
    result.load_state_dict(state, assign=True)
    return result.requires_grad_(requires_grad=True), resized


def infer_backbone(path: Path, state: Mapping[str, Tensor]) -> Backbone:
    """Knobs of a checkpoint that carries none, from its names and shapes.

    Heads are taken to be 64 wide, as in every released model. The interpolation is that of the
    released models: with an offset for those without registers, antialiased for the others.

    Raises:
        InputError: the file does not hold a DINOv2 backbone.
    """
    try:
        dim, _, patch_size, _ = state["patch_embed.proj.weight"].shape
        num_positions = state["pos_embed"].shape[1] - 1
        depth = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))
    except (KeyError, ValueError) as error:
        fix = "name a DINOv2 backbone"
        found = f"no {error}" if isinstance(error, KeyError) else "other tensors"
        raise InputError(path, expected="backbone weights", found=found, fix=fix) from None
    arch = Arch(dim, depth, max(dim // 64, 1))
    named = next((name for name, dims in ARCHS.items() if dims == arch), None)
    num_registers = state["register_tokens"].shape[1] if "register_tokens" in state else 0
    return Backbone(
        arch=named or "vit_small",
        patch_size=patch_size,
        image_size=math.isqrt(num_positions) * patch_size,
        ffn="swiglu" if "blocks.0.mlp.w12.weight" in state else "mlp",
        num_registers=num_registers,
        layerscale=1.0 if "blocks.0.ls1.gamma" in state else 0.0,
        drop_path=0.0,
        interpolate_offset=0.0 if num_registers else 0.1,
        interpolate_antialias=bool(num_registers),
        embed_dim=0 if named else arch.embed_dim,
        depth=0 if named else arch.depth,
        num_heads=0 if named else arch.num_heads,
    )


def _save(
    path: Path, state: Mapping[str, Tensor], *, knobs: Backbone | Heads, stamp: Mapping[str, str]
) -> None:
    metadata = {**stamp, _MODEL: json.dumps(dataclasses.asdict(knobs), sort_keys=True)}
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with io.replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a weights file, whichever of the two kinds it is."""
    fix = "name a complete weights file"
    if not path.is_file():
        raise InputError(path, expected="a weights file", found="no such file", fix=fix)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(path, expected="tensors", found=reason, fix=fix) from None
    return _plain_state(loaded), {}


def _plain_state(loaded: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """Meta's backbone names out of a released state dict or a training checkpoint.

    Training checkpoints nest the state under `teacher`, prefix it with `backbone.` and number
    blocks by chunk as well (blocks.0.3 is block 3 of chunk 0, and 3 counts from the first block).
    """
    state = loaded.get("teacher", loaded) if isinstance(loaded, dict) else {}
    state = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if any(k.startswith("backbone.") for k in state):
        state = {k.removeprefix("backbone."): v for k, v in state.items() if "backbone." in k}
    return {re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", k): v for k, v in state.items()}


def _knobs(path: Path, metadata: Mapping[str, str], *, kind: type[KnobsT]) -> KnobsT | None:
    """Knobs from the metadata, or None when the file carries none."""
    if _MODEL not in metadata:
        return None
    try:
        return kind(**json.loads(metadata[_MODEL]))
    except (TypeError, ValueError) as error:
        fix = "name a file that holds the other kind of weights"
        expected = f"knobs of {kind.__name__.lower()}"
        raise InputError(path, expected=expected, found=str(error), fix=fix) from None


def _assign(path: Path, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a module laid out on the meta device its tensors, or say which one does not fit."""
    fix = "name weights of this architecture, or change the knobs to theirs"
    wanted = module.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            raise InputError(path, expected=f"a parameter {name}", found="none", fix=fix)
        if state[name].shape != tensor.shape:
            expected = f"{name} of shape {tuple(tensor.shape)}"
            raise InputError(path, expected=expected, found=str(tuple(state[name].shape)), fix=fix)
    if extra := sorted(state.keys() - wanted.keys()):
        found = f"{extra[0]} too"
        raise InputError(path, expected="only known parameters", found=found, fix=fix)
    module.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    module.requires_grad_(requires_grad=True)
