"""Write a backbone as other libraries read it, and check each file by running it beside ours.

Shapes: B images, R registers, N patches, D width. A file that computes other features than the
backbone it was made from is our bug: an assertion, and nothing is left.
"""

import dataclasses
import importlib.util
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from sauropod import io
from sauropod.errors import InputError
from sauropod.models import huggingface
from sauropod.models.layouts import interpolation, to_timm
from sauropod.models.vit import VisionTransformer, arch_of
from sauropod.models.weights import load_backbone, save_backbone, usual_heads
from sauropod.train.config import Backbone
from sauropod.train.randomness import Purpose, torch_keyed

Layout = Literal["safetensors", "huggingface", "meta", "timm", "onnx"]
Run = Callable[[Tensor], Tensor]

TOLERANCE = 1e-5
"""Greatest difference of the same weights under PyTorch, share of the greatest feature."""
TOLERANCE_ONNX = 1e-3
"""The same under onnxruntime, which sums in another order."""

_SUFFIX = {"safetensors": ".safetensors", "timm": ".safetensors", "meta": ".pth", "onnx": ".onnx"}

log = logging.getLogger("sauropod")


def export(
    vit: VisionTransformer, *, knobs: Backbone, layout: Layout, out: Path, stamp: Mapping[str, str]
) -> None:
    """Write a backbone in another layout, atomically, once its features agree with ours.

    Args:
        vit: The backbone, in evaluation mode, on the CPU.
        knobs: Its architecture.
        layout: `safetensors` ours; `huggingface` a folder for `AutoModel.from_pretrained`; `meta` a
            state dict for the reference; `timm` weights for `vit_*_dinov2`; `onnx` a graph for any
            batch and image size (weights beyond 2 GB lie beside it, in a file ending in .data).
        out: File to write, or folder to make.
        stamp: Provenance, kept where the layout has a place for it.

    Raises:
        InputError: a name that does not fit the layout, a folder that exists, or onnx missing.
    """
    suffix = _SUFFIX.get(layout, out.suffix)
    if out.suffix != suffix:
        found, fix = out.suffix or "none", "change the name: readers go by it"
        raise InputError(out, expected=f"the suffix {suffix}", found=found, fix=fix)
    if layout == "onnx":
        _export_onnx(vit, out=out, stamp=stamp)
    else:
        _export_weights(vit, knobs=knobs, layout=layout, out=out, stamp=stamp)


def _export_weights(
    vit: VisionTransformer,
    *,
    knobs: Backbone,
    layout: Literal["safetensors", "huggingface", "meta", "timm"],
    out: Path,
    stamp: Mapping[str, str],
) -> None:
    meant = knobs
    if layout != "safetensors":
        vit, meant = _resizing_as(layout, vit, knobs=knobs)
        dim, depth, heads = arch_of(knobs)
        if layout != "huggingface" and heads != usual_heads(embed_dim=dim, depth=depth):
            log.info("%s files do not tell the number of heads: ask for %d", layout, heads)
    with (io.new_folder if layout == "huggingface" else io.replacing)(out) as temporary:
        if layout == "huggingface":
            huggingface.write(vit, temporary, knobs=meant, stamp=stamp, name=out.name)
            # Where we have no LayerScale, theirs is one of ones.
            meant = dataclasses.replace(meant, layerscale=meant.layerscale or 1.0)
        elif layout == "meta":
            torch.save({k: v.detach().cpu() for k, v in vit.state_dict().items()}, temporary)
        elif layout == "timm":
            huggingface.write_tensors(to_timm(vit.state_dict()), temporary, stamp=stamp)
        else:
            save_backbone(temporary, vit, knobs=meant, stamp=stamp)
        again, _ = load_backbone(temporary, expect=meant)
        check(_runner(again), vit, tolerance=TOLERANCE, label=layout)


def _export_onnx(vit: VisionTransformer, *, out: Path, stamp: Mapping[str, str]) -> None:
    if importlib.util.find_spec("onnx") is None:
        what, fix = "--layout onnx", "pip install 'sauropod[export]'"
        raise InputError(what, expected="the package onnx", found="none", fix=fix)
    from sauropod.models import onnx_graph  # needs that package

    data = out.with_name(f"{out.name}.data")
    try:
        with io.replacing(out) as temporary:
            if onnx_graph.is_large(vit):  # graph and data go together: the old ones first
                out.unlink(missing_ok=True)
                data.unlink(missing_ok=True)
            onnx_graph.write(vit, temporary, data=data, metadata=stamp)
            check(_onnx_runner(temporary, vit), vit, tolerance=TOLERANCE_ONNX, label="onnx")
    except BaseException:
        if not out.exists():
            data.unlink(missing_ok=True)
        raise


def _resizing_as(
    layout: Literal["huggingface", "meta", "timm"], vit: VisionTransformer, *, knobs: Backbone
) -> tuple[VisionTransformer, Backbone]:
    """The backbone with its positions resized as the library of that layout does."""
    offset, antialias = interpolation(layout, num_registers=knobs.num_registers)
    if (offset, antialias) == (knobs.interpolate_offset, knobs.interpolate_antialias):
        return vit, knobs
    meant = dataclasses.replace(knobs, interpolate_offset=offset, interpolate_antialias=antialias)
    with torch.device("meta"):
        theirs = VisionTransformer(meant)
    theirs.load_state_dict(vit.state_dict(), assign=True)
    images = _probes(vit)[1]
    difference = (_runner(theirs.eval())(images) - _runner(vit)(images)).abs().max().item()
    log.info(
        "%s resizes positions in its own way: at %dx%d pixels features differ from ours by %.2g",
        layout, *images.shape[-2:], difference,
    )  # fmt: skip
    return theirs, meant


def check(found: Run, vit: VisionTransformer, *, tolerance: float, label: str) -> None:
    """Assert that two computations agree on keyed noise, at the stored size and at another.

    Args:
        found: (B, 3, h, w) -> (B, 1 + R + N, D), tokens after the final norm.
        vit: What it must agree with.
        tolerance: Greatest difference, share of the greatest feature.
        label: What to call `found` in the log.
    """
    for images in _probes(vit):
        expected = _runner(vit)(images)
        difference = (found(images) - expected).abs().max().item()
        greatest = expected.abs().max().item()
        log.info(
            "%s at %dx%d pixels: greatest difference %.2g of features up to %.3g",
            label, *images.shape[-2:], difference, greatest,
        )  # fmt: skip
        assert difference <= tolerance * greatest, f"{label} computes other features than ours"


def _probes(vit: VisionTransformer) -> list[Tensor]:
    """Noise: two square images of the stored size, one of more rows and fewer columns."""
    side = round((vit.pos_embed.shape[1] - 1) ** 0.5)
    generator = torch_keyed(0, purpose=Purpose.VIEWS, counter=0)
    return [
        torch.randn(b, 3, rows * vit.patch_size, columns * vit.patch_size, generator=generator)
        for b, rows, columns in ((2, side, side), (1, side + 1, max(side // 2, 1)))
    ]


def _runner(vit: VisionTransformer) -> Run:
    @torch.no_grad()
    def run(images: Tensor) -> Tensor:
        cls, registers, patches, _ = vit.forward_features([images])[0]
        return torch.cat([cls[:, None], registers, patches], dim=1)

    return run


def _onnx_runner(path: Path, vit: VisionTransformer) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = ["register_tokens", "patch_tokens"] if vit.num_registers else ["patch_tokens"]

    def run(images: Tensor) -> Tensor:
        found = session.run(["cls_token", *names], {"images": images.numpy()})
        cls, *others = (torch.from_numpy(np.asarray(part)) for part in found)
        return torch.cat([cls[:, None], *others], dim=1)

    return run
