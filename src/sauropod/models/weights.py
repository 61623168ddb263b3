"""Weights on disk: safetensors with the architecture in their metadata, and files of others.

Parameter names are Meta's; `layouts` translates those of Hugging Face and timm. Which it is, the
names tell. Nothing is unpickled beyond tensors.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sauropod import io
from sauropod.errors import InputError
from sauropod.models.head import make_heads
from sauropod.models.layouts import NamesOf, interpolation, names_of, to_ours
from sauropod.models.vit import ARCHS, VisionTransformer, arch_of
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
    path: Path, *, expect: Backbone | None = None
) -> tuple[VisionTransformer, Backbone]:
    """Read a backbone: ours, Meta's, Hugging Face's or timm's; its names tell which.

    Args:
        path: safetensors of ours or of timm, a .pth state dict that Meta released or a teacher
            checkpoint of its training, or a folder of Hugging Face (its model.safetensors).
        expect: Architecture the caller needs; drop_path and layerscale may differ and are taken
            from here. None takes what the file says.

    Returns:
        The backbone on the CPU in evaluation mode, in fp32, and its knobs. Positions are resized
        as the library does that the file is made for.

    Raises:
        InputError: not a readable weights file, or another architecture than its own metadata or
            `expect` says; names the first parameter that does not fit.
    """
    if path.is_dir():
        path = path / "model.safetensors"
    found, metadata = _read(path)
    if any(name.startswith("backbone.") for name in found):  # a training checkpoint
        prefixed = {k: v for k, v in found.items() if k.startswith("backbone.")}
        found = {k.removeprefix("backbone."): v for k, v in prefixed.items()}
    try:
        state = to_ours(found)
    except ValueError as error:
        raise _no_backbone(path, str(error)) from None
    knobs = expect or _knobs(path, metadata, kind=Backbone)
    if knobs is None:
        names = names_of(found)
        num_heads = _configured_heads(path, state) if names == "huggingface" else 0
        knobs = infer_backbone(path, state, names=names, num_heads=num_heads)
    with torch.device("meta"):
        vit = VisionTransformer(knobs)
    _assign(path, vit, state)
    return vit.eval(), knobs


def provenance(path: Path) -> dict[str, str]:
    """The stamp of a weights file that we wrote, empty for files of others."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    return {k: v for k, v in metadata.items() if k != _MODEL} if _MODEL in metadata else {}


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
    """Read projection heads written by `save_heads`, or those in Meta's training checkpoints.

    Returns:
        `dino_head` and perhaps `ibot_head`, fp32 on the CPU, and their knobs.

    Raises:
        InputError: no heads in the file, or of another shape than its metadata or `expect` says.
    """
    state, metadata = _read(path)
    state = {k: v for k, v in state.items() if not k.startswith("backbone.")}
    knobs = expect or _knobs(path, metadata, kind=Heads) or infer_heads(path, state)
    first = state.get("dino_head.mlp.0.weight")
    if first is None or first.ndim != 2:
        raise _no_heads(path)
    with torch.device("meta"):
        heads = make_heads(knobs, embed_dim=first.shape[1])
    _assign(path, heads, state)
    return heads, knobs


def infer_heads(path: Path, state: Mapping[str, Tensor]) -> Heads:
    """Knobs of heads that carry none, from their names and shapes.

    Raises:
        InputError: there is no DINO head.
    """
    try:
        hidden_dim, _ = state["dino_head.mlp.0.weight"].shape
        separate = "ibot_head.last_layer.weight_v" in state
        shapes = [
            state[f"{head}_head.last_layer.weight_v"].shape
            for head in ("dino", "ibot" if separate else "dino")
        ]
        (num_prototypes, bottleneck_dim), (ibot_num_prototypes, ibot_bottleneck_dim) = shapes
    except (KeyError, ValueError):
        raise _no_heads(path) from None
    return Heads(
        num_prototypes=num_prototypes,
        bottleneck_dim=bottleneck_dim,
        hidden_dim=hidden_dim,
        num_layers=sum(k.startswith("dino_head.mlp.") and k.endswith(".weight") for k in state),
        separate_ibot=separate,
        ibot_num_prototypes=ibot_num_prototypes,
        ibot_bottleneck_dim=ibot_bottleneck_dim,
    )


def _no_heads(path: Path) -> InputError:
    fix = "name the heads.safetensors that lies beside the backbone, or a teacher checkpoint"
    return InputError(path, expected="projection heads", found="none", fix=fix)


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
        result = VisionTransformer(resized)
    result.load_state_dict(state, assign=True)
    return result.requires_grad_(requires_grad=True), resized


def infer_backbone(
    path: Path, state: Mapping[str, Tensor], *, names: NamesOf, num_heads: int = 0
) -> Backbone:
    """Knobs of a checkpoint that carries none, from its names and shapes.

    Args:
        path: The file, for the error.
        state: Its tensors under our names.
        names: Whose names it had: positions are resized as that library does.
        num_heads: Attention heads, 0 where the file does not tell: then `usual_heads`.

    Raises:
        InputError: the file does not hold a DINOv2 backbone.
    """
    try:
        dim, _, patch_size, _ = state["patch_embed.proj.weight"].shape
        side = math.isqrt(state["pos_embed"].shape[1] - 1)
        depth = len({k.split(".")[1] for k in state if k.startswith("blocks.")})
    except (KeyError, ValueError, IndexError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else "other tensors"
        raise _no_backbone(path, found) from None
    num_heads = num_heads or usual_heads(embed_dim=dim, depth=depth)
    if not (patch_size and side and depth and num_heads):
        raise _no_backbone(path, f"{depth} blocks of width {dim}, of nobody knows how many heads")
    num_registers = _num_registers(state)
    named = next((name for name, dims in ARCHS.items() if dims == (dim, depth, num_heads)), None)
    offset, antialias = interpolation(names, num_registers=num_registers)
    return Backbone(
        arch=named or "vit_small",
        patch_size=patch_size,
        image_size=side * patch_size,
        ffn="swiglu" if "blocks.0.mlp.w12.weight" in state else "mlp",
        num_registers=num_registers,
        layerscale=1.0 if "blocks.0.ls1.gamma" in state else 0.0,
        drop_path=0.0,
        interpolate_offset=offset,
        interpolate_antialias=antialias,
        embed_dim=0 if named else dim,
        depth=0 if named else depth,
        num_heads=0 if named else num_heads,
    )


def usual_heads(*, embed_dim: int, depth: int) -> int:
    """Heads of the named architecture of that width and depth, else 64 wide ones; 0: no guess."""
    named = (dims.num_heads for dims in ARCHS.values() if dims[:2] == (embed_dim, depth))
    return next(named, 0 if embed_dim % 64 else embed_dim // 64)


def _num_registers(state: Mapping[str, Tensor]) -> int:
    return math.prod(state["register_tokens"].shape[:-1]) if "register_tokens" in state else 0


def _no_backbone(path: Path, found: str) -> InputError:
    fix = "name a DINOv2 backbone"
    return InputError(path, expected="backbone weights", found=found, fix=fix)


def _configured_heads(path: Path, state: Mapping[str, Tensor]) -> int:
    """Heads that the config.json of Hugging Face beside a file tells, 0 where there is none.

    Raises:
        InputError: the config is broken, asks for another computation than DINOv2's or for
            registers that the file lacks.
    """
    path = path.with_name("config.json")
    if not path.is_file():
        return 0
    fix = "name a Dinov2Model or a Dinov2WithRegistersModel"
    try:
        config = json.loads(path.read_text())
        num_heads = int(config["num_attention_heads"])
    except (ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise InputError(path, expected="a config of DINOv2", found=found, fix=fix) from None
    ours = {"hidden_act": "gelu", "qkv_bias": True, "layer_norm_eps": 1e-6}
    for name, value in {**ours, "num_register_tokens": _num_registers(state)}.items():
        if config.get(name, value) != value:
            raise InputError(path, expected=f"{name} {value}", found=str(config[name]), fix=fix)
    return num_heads


def _save(
    path: Path, state: Mapping[str, Tensor], *, knobs: Backbone | Heads, stamp: Mapping[str, str]
) -> None:
    metadata = {**stamp, _MODEL: json.dumps(dataclasses.asdict(knobs), sort_keys=True)}
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with io.replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a weights file, whichever of the two kinds it is.

    Training checkpoints of Meta nest the state under `teacher`.
    """
    fix = "name a complete weights file"
    if not path.is_file():
        raise InputError(path, expected="a weights file", found="no such file", fix=fix)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # junk makes either reader fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(path, expected="tensors", found=reason, fix=fix) from None
    state = loaded.get("teacher", loaded) if isinstance(loaded, dict) else None
    state = state if isinstance(state, dict) else {}
    return {str(k): v for k, v in state.items() if isinstance(v, Tensor)}, {}


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
        found = state[name]
        if found.shape != tensor.shape or not found.is_floating_point():
            expected = f"{name} of shape {tuple(tensor.shape)}"
            kind = "" if found.is_floating_point() else f" {found.dtype}"
            raise InputError(path, expected=expected, found=f"{tuple(found.shape)}{kind}", fix=fix)
    if extra := sorted(state.keys() - wanted.keys()):
        found = f"{extra[0]} too"
        raise InputError(path, expected="only known parameters", found=found, fix=fix)
    module.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    module.requires_grad_(requires_grad=True)
