"""Parameter names and shapes of other libraries' DINOv2 backbones, to ours and back.

Shapes: D width, R registers, N positions. Our names are Meta's. Hugging Face (`Dinov2Model`,
`Dinov2WithRegistersModel`) renames nearly all, splits qkv in three and always has LayerScale. timm
(`vit_*_dinov2`) has no mask token, calls the gated MLP fc1 and fc2 and, with registers, keeps the
class token's position inside the class token. All three resize the positions in their own way.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

State = Mapping[str, Tensor]
NamesOf = Literal["meta", "huggingface", "timm"]


class Interpolation(NamedTuple):
    """How positions are resized to another grid; fields as in `train.config.Backbone`."""

    offset: float
    antialias: bool


# Ours, theirs: a parameter, or a module with all it holds.
_OUTSIDE = (
    ("cls_token", "embeddings.cls_token"),
    ("mask_token", "embeddings.mask_token"),
    ("register_tokens", "embeddings.register_tokens"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
    ("norm", "layernorm"),
)
_IN_BLOCK = (
    ("attn.proj", "attention.output.dense"),
    ("ls1.gamma", "layer_scale1.lambda1"),
    ("ls2.gamma", "layer_scale2.lambda1"),
    ("mlp.w12", "mlp.weights_in"),
    ("mlp.w3", "mlp.weights_out"),
)
_QKV = ("query", "key", "value")


def names_of(state: State) -> NamesOf:
    """Whose names these are; a dict that is nobody's gets an answer too and fits no model later."""
    if any(name.startswith(("embeddings.", "encoder.layer.")) for name in state):
        return "huggingface"
    return "meta" if "mask_token" in state else "timm"


def interpolation(names: NamesOf, *, num_registers: int) -> Interpolation:
    """How the library with these names resizes the positions of a backbone."""
    registers = num_registers > 0
    if names == "meta":
        return Interpolation(0.0, True) if registers else Interpolation(0.1, False)
    return Interpolation(0.0, registers or names == "timm")


def to_ours(state: State) -> dict[str, Tensor]:
    """A state dict of any of the three under our names and in our shapes.

    Meta's training checkpoints number blocks by chunk as well (blocks.0.3 is block 3 of chunk 0,
    and 3 counts from the first block). What is missing stays missing and what is unknown keeps its
    name: whoever lays the tensors into a model finds out. Only the mask token is made up, zero,
    where a library leaves it out: nothing but training reads it.

    Raises:
        ValueError: two tensors for one parameter, or parts of one that do not fit together.
    """
    names = names_of(state)
    if names == "meta":
        chunk = re.compile(r"^blocks\.\d+\.(\d+)\.")
        return _one_each((chunk.sub(r"blocks.\1.", k), v) for k, v in state.items())
    ours = _from_huggingface(state) if names == "huggingface" else _from_timm(state)
    if "mask_token" not in ours and "cls_token" in ours:
        ours["mask_token"] = torch.zeros_like(ours["cls_token"]).reshape(1, -1)
    return ours


def to_huggingface(state: State) -> dict[str, Tensor]:
    """Our state dict as the files of the transformers library spell it."""
    theirs: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block, inner = _in_block(name, prefix="blocks.")
        if not block:
            theirs[_renamed(name, _OUTSIDE)] = tensor
        elif inner.startswith("attn.qkv."):
            kind = inner.removeprefix("attn.qkv.")
            for part, third in zip(_QKV, tensor.chunk(3), strict=True):
                theirs[f"encoder.layer.{block}.attention.attention.{part}.{kind}"] = third
        else:
            theirs[f"encoder.layer.{block}.{_renamed(inner, _IN_BLOCK)}"] = tensor
    for name, norm in state.items():
        block, inner = _in_block(name, prefix="blocks.")
        if inner in {
            "norm1.weight",
            "norm2.weight",
        }:  # LayerScale beside each, 1 where we have none
            scale = f"encoder.layer.{block}.layer_scale{inner[4]}.lambda1"
            theirs.setdefault(scale, torch.ones_like(norm))
    return theirs


def _from_huggingface(state: State) -> dict[str, Tensor]:
    outside, in_block = (tuple((b, a) for a, b in pairs) for pairs in (_OUTSIDE, _IN_BLOCK))
    ours: list[tuple[str, Tensor]] = []
    thirds: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        block, inner = _in_block(name, prefix="encoder.layer.")
        if third := re.fullmatch(r"attention\.attention\.(query|key|value)\.(\w+)", inner):
            thirds.setdefault(f"blocks.{block}.attn.qkv.{third[2]}", {})[third[1]] = tensor
        elif block:
            ours.append((f"blocks.{block}.{_renamed(inner, in_block)}", tensor))
        else:
            ours.append((_renamed(name, outside), tensor))
    for name, parts in thirds.items():
        if len({tuple(part.shape) for part in parts.values()}) > 1:
            message = f"query, key and value of different shapes for {name}"
            raise ValueError(message)
        ours.append((name, torch.cat([parts[part] for part in _QKV if part in parts])))
    return _one_each(ours)


def to_timm(state: State) -> dict[str, Tensor]:
    """Our state dict as timm's `vit_*_dinov2` and `vit_*_reg4_dinov2` spell it."""
    theirs = {k: v for k, v in state.items() if k != "mask_token"}
    if "register_tokens" in theirs:
        theirs["reg_token"] = theirs.pop("register_tokens")
        class_position, positions = theirs["pos_embed"].tensor_split([1], dim=1)
        theirs |= {"cls_token": theirs["cls_token"] + class_position, "pos_embed": positions}
    gated = (("mlp.w12", "mlp.fc1"), ("mlp.w3", "mlp.fc2"))
    return {_renamed_in_block(name, gated): tensor for name, tensor in theirs.items()}


def _from_timm(state: State) -> dict[str, Tensor]:
    wide, narrow = (state.get(f"blocks.0.mlp.{fc}.weight") for fc in ("fc1", "fc2"))
    gated = ()
    if wide is not None and narrow is not None and wide.shape[0] == 2 * narrow.shape[-1]:
        gated = (("mlp.fc1", "mlp.w12"), ("mlp.fc2", "mlp.w3"))
    outside = (("reg_token", "register_tokens"),)
    ours = _one_each(
        (_renamed(_renamed_in_block(name, gated), outside), value) for name, value in state.items()
    )
    positions = ours.get("pos_embed")
    if positions is not None and positions.ndim == 3 and _is_square(positions.shape[1]):
        # The class token holds its own position already.
        ours["pos_embed"] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    return ours


def _one_each(pairs: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, tensor in pairs:
        if name in state:
            message = f"{name} under two names"
            raise ValueError(message)
        state[name] = tensor
    return state


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number


def _in_block(name: str, *, prefix: str) -> tuple[str, str]:
    """Number of the block and the name inside it, or two empty strings."""
    found = re.fullmatch(re.escape(prefix) + r"(\d+)\.(.+)", name)
    return (found[1], found[2]) if found else ("", "")


def _renamed_in_block(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    block, inner = _in_block(name, prefix="blocks.")
    return f"blocks.{block}.{_renamed(inner, pairs)}" if block else name


def _renamed(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return name
