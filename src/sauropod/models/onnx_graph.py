"""A backbone as an ONNX graph, node by node, for any batch and any image of whole patches.

Shapes: B images, height x width pixels, h x w = N patches, R registers, D width, H heads, d width
of a head. One input `images` (B, 3, height, width), normalised; outputs `cls_token` (B, D),
`patch_tokens` (B, N, D) and, with registers, `register_tokens` (B, R, D), all after the final norm.
Only standard operators, so that any runtime executes it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from sauropod.models.layers import Attention, Block, LayerScale, Mlp, SwiGLU
from sauropod.models.vit import VisionTransformer

OPSET = 20  # the first with Gelu
IR_VERSION = 9
ONE_FILE = 2_000_000_000
"""Bytes of weights that fit into one protobuf, which ends at 2^31 - 1."""

# PyTorch's two bicubic kernels; the antialiased one gives taps beyond the edge no weight.
_PLAIN = {"cubic_coeff_a": -0.75}
_ANTIALIASED = {"cubic_coeff_a": -0.5, "antialias": 1, "exclude_outside": 1}


class _Graph:
    """The model so far; every method returns the name of what it added."""

    def __init__(self) -> None:
        self.model = helper.make_model(
            helper.make_graph([], "backbone", [], []),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="sauropod",
        )

    def node(self, op: str, *inputs: str, out: str, **attributes: Any) -> str:  # noqa: ANN401
        self.model.graph.node.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    def weight(self, name: str, values: Tensor) -> str:
        return self._store(name, values.detach().cpu().float().numpy())

    def constant(self, name: str, values: int | float | list[int] | list[float]) -> str:
        array = np.asarray(values)
        return self._store(name, array.astype(np.int64 if array.dtype.kind == "i" else np.float32))

    def _store(self, name: str, array: np.ndarray) -> str:
        tensor = numpy_helper.from_array(np.asarray(array, order="C"), name)
        self.model.graph.initializer.append(tensor)
        return name

    def split(self, x: str, sizes: list[int], *, out: list[str]) -> list[str]:
        parts = self.constant(f"{x}.sizes", sizes)
        self.model.graph.node.append(
            helper.make_node("Split", [x, parts], out, name=f"{x}.split", axis=-1)
        )
        return out

    def linear(self, x: str, layer: nn.Linear, *, out: str) -> str:
        weight = self.weight(f"{out}.weight", layer.weight.T)
        x = self.node("MatMul", x, weight, out=f"{out}.product")
        return self.node("Add", x, self.weight(f"{out}.bias", layer.bias), out=out)

    def norm(self, x: str, layer: nn.LayerNorm, *, out: str) -> str:
        both = [self.weight(f"{out}.{n}", getattr(layer, n)) for n in ("weight", "bias")]
        return self.node("LayerNormalization", x, *both, out=out, axis=-1, epsilon=layer.eps)


def write(vit: VisionTransformer, path: Path, *, data: Path, metadata: Mapping[str, str]) -> None:
    """Write a backbone as ONNX, not atomically.

    Args:
        vit: The backbone, on any device.
        path: File to write.
        data: File for the weights, in the same folder, when they are too large for one file.
        metadata: Strings kept in the file.
    """
    model = build(vit)
    helper.set_model_props(model, dict(metadata))
    if is_large(vit):
        onnx.save_model(
            model, path, save_as_external_data=True, location=data.name, size_threshold=1024
        )
    else:
        path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))


def is_large(vit: VisionTransformer) -> bool:
    """Whether the weights need a file of their own."""
    return sum(p.numel() for p in vit.parameters()) * 4 > ONE_FILE


@torch.no_grad()
def build(vit: VisionTransformer) -> onnx.ModelProto:
    """The graph of a backbone in evaluation mode with its weights, fp32."""
    graph = _Graph()
    x = _embed(graph, vit)
    for i, block in enumerate(vit.blocks):
        assert isinstance(block, Block)
        x = _block(graph, x, block, name=f"blocks.{i}")
    x = graph.norm(x, vit.norm, out="norm")
    shapes = {"images": ["batch", 3, "height", "width"], **_outputs(graph, x, vit)}
    infos = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items()]
    graph.model.graph.input.append(infos[0])
    graph.model.graph.output.extend(infos[1:])
    return graph.model


def _outputs(graph: _Graph, x: str, vit: VisionTransformer) -> dict[str, list[str | int]]:
    """Cut (B, 1 + R + N, D) into the outputs; their names and shapes."""
    first, axis = 1 + vit.num_registers, graph.constant("axis.tokens", [1])
    graph.node("Gather", x, graph.constant("cls_token.index", 0), out="cls_token", axis=1)
    found: dict[str, list[str | int]] = {"cls_token": ["batch", vit.embed_dim]}
    start = graph.constant("patch_tokens.start", [first])
    if vit.num_registers:
        one = graph.constant("register_tokens.start", [1])
        graph.node("Slice", x, one, start, axis, out="register_tokens")
        found["register_tokens"] = ["batch", vit.num_registers, vit.embed_dim]
    end = graph.constant("patch_tokens.end", [np.iinfo(np.int64).max])
    graph.node("Slice", x, start, end, axis, out="patch_tokens")
    found["patch_tokens"] = ["batch", "patches", vit.embed_dim]
    return found


def _embed(graph: _Graph, vit: VisionTransformer) -> str:
    """Patches, positions, class token and registers: (B, 1 + R + N, D)."""
    p, dim, proj = vit.patch_size, vit.embed_dim, vit.patch_embed.proj
    assert proj.bias is not None
    weight = graph.weight("patch_embed.proj.weight", proj.weight)
    bias = graph.weight("patch_embed.proj.bias", proj.bias)
    grid = graph.node(
        "Conv", "images", weight, bias, out="patch_grid", kernel_shape=[p, p], strides=[p, p]
    )
    sizes = {
        name: graph.node("Shape", grid, out=name, start=axis, end=axis + 1)
        for name, axis in (("batch_size", 0), ("patch_rows", 2), ("patch_columns", 3))
    }
    positions = _positions(graph, vit, rows=sizes["patch_rows"], columns=sizes["patch_columns"])
    placed = graph.node("Add", grid, positions, out="patch_grid.placed")
    flat = graph.node(
        "Reshape", placed, graph.constant("patches.shape", [0, dim, -1]), out="patches.columns"
    )
    patches = graph.node("Transpose", flat, out="patches", perm=[0, 2, 1])
    # Registers carry no position; the class token's is its own and never resized.
    prefix = [vit.cls_token + vit.pos_embed[:, :1]]
    if vit.num_registers:
        prefix.append(vit.register_tokens)
    tokens = graph.weight("prefix_tokens", torch.cat(prefix, dim=1))
    rest = graph.constant("prefix_tokens.shape", [1 + vit.num_registers, dim])
    shape = graph.node("Concat", sizes["batch_size"], rest, out="prefix_tokens.batch", axis=0)
    prefixes = graph.node("Expand", tokens, shape, out="prefix_tokens.expanded")
    return graph.node("Concat", prefixes, patches, out="tokens", axis=1)


def _positions(graph: _Graph, vit: VisionTransformer, *, rows: str, columns: str) -> str:
    """Position embeddings of the patches, resized to the grid as `position_table` does.

    Returns:
        (1, D, h, w).
    """
    dim, side = vit.embed_dim, math.isqrt(vit.pos_embed.shape[1] - 1)
    table = vit.pos_embed[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    stored = graph.weight("pos_embed.patches", table)
    kernel = _ANTIALIASED if vit.interpolate_antialias else _PLAIN
    resize: dict[str, Any] = {
        "mode": "cubic", "coordinate_transformation_mode": "half_pixel", **kernel
    }  # fmt: skip
    out = "pos_embed.resized"
    grid = graph.node("Concat", rows, columns, out="patch_grid.size", axis=0)
    if not vit.interpolate_offset:
        kept = graph.constant("pos_embed.kept_axes", [1, dim])
        shape = graph.node("Concat", kept, grid, out="pos_embed.shape", axis=0)
        return graph.node("Resize", stored, "", "", shape, out=out, **resize)
    # Scales (h + offset) / side and (w + offset) / side, but exactly 1 for the grid that is stored.
    stored_side = graph.constant("pos_embed.side", [side])
    same = [
        graph.node("Equal", size, stored_side, out=f"{size}.as_stored") for size in (rows, columns)
    ]
    both = graph.node("And", *same, out="patch_grid.as_stored")
    offsets = [
        graph.constant("pos_embed.no_offset", [0.0]),
        graph.constant("pos_embed.offset", [vit.interpolate_offset]),
    ]
    offset = graph.node("Where", both, *offsets, out="pos_embed.chosen_offset")
    size = graph.node("Cast", grid, out="patch_grid.size.float", to=TensorProto.FLOAT)
    size = graph.node("Add", size, offset, out="patch_grid.size.offset")
    sides = graph.constant("pos_embed.sides", [float(side), float(side)])
    scale = graph.node("Div", size, sides, out="pos_embed.scale")
    kept = graph.constant("pos_embed.kept_scales", [1.0, 1.0])
    scales = graph.node("Concat", kept, scale, out="pos_embed.scales", axis=0)
    return graph.node("Resize", stored, "", scales, out=out, **resize)


def _block(graph: _Graph, x: str, block: Block, *, name: str) -> str:
    """Pre-norm attention and MLP with their residuals: (B, N, D) -> the same."""
    y = graph.norm(x, block.norm1, out=f"{name}.norm1")
    y = _attention(graph, y, block.attn, name=f"{name}.attn")
    x = _residual(graph, x, y, block.ls1, name=f"{name}.ls1")
    y = graph.norm(x, block.norm2, out=f"{name}.norm2")
    y = _mlp(graph, y, block.mlp, name=f"{name}.mlp")
    return _residual(graph, x, y, block.ls2, name=f"{name}.ls2")


def _attention(graph: _Graph, x: str, layer: Attention, *, name: str) -> str:
    """(B, N, D) -> (B, N, D), H heads of d channels beside each other in D."""
    dim = layer.proj.in_features
    split = graph.constant(f"{name}.heads", [0, 0, layer.num_heads, dim // layer.num_heads])
    thirds = [f"{name}.{part}" for part in ("q", "k", "v")]
    qkv = graph.linear(x, layer.qkv, out=f"{name}.qkv")
    graph.split(qkv, [dim] * 3, out=thirds)
    q, k, v = (
        graph.node(
            "Transpose",
            graph.node("Reshape", third, split, out=f"{third}.split"),
            out=f"{third}.heads",
            perm=perm,
        )
        for third, perm in zip(thirds, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scale = graph.constant(f"{name}.scale", (dim // layer.num_heads) ** -0.5)
    q = graph.node("Mul", q, scale, out=f"{name}.q.scaled")
    weights = graph.node("MatMul", q, k, out=f"{name}.scores")
    weights = graph.node("Softmax", weights, out=f"{name}.weights", axis=-1)
    mixed = graph.node("MatMul", weights, v, out=f"{name}.mixed")
    mixed = graph.node("Transpose", mixed, out=f"{name}.mixed.tokens", perm=[0, 2, 1, 3])
    joined = graph.constant(f"{name}.joined", [0, 0, dim])
    mixed = graph.node("Reshape", mixed, joined, out=f"{name}.mixed.joined")
    return graph.linear(mixed, layer.proj, out=f"{name}.proj")


def _mlp(graph: _Graph, x: str, layer: nn.Module, *, name: str) -> str:
    """(B, N, D) -> (B, N, D), gated or not."""
    if isinstance(layer, Mlp):
        x = graph.linear(x, layer.fc1, out=f"{name}.fc1")
        x = graph.node("Gelu", x, out=f"{name}.gelu")
        return graph.linear(x, layer.fc2, out=f"{name}.fc2")
    assert isinstance(layer, SwiGLU)
    both = graph.linear(x, layer.w12, out=f"{name}.w12")
    gate, value = graph.split(
        both, [layer.w3.in_features] * 2, out=[f"{name}.gate", f"{name}.value"]
    )
    sigmoid = graph.node("Sigmoid", gate, out=f"{name}.gate.sigmoid")
    silu = graph.node("Mul", gate, sigmoid, out=f"{name}.gate.silu")
    product = graph.node("Mul", silu, value, out=f"{name}.gated")
    return graph.linear(product, layer.w3, out=f"{name}.w3")


def _residual(graph: _Graph, x: str, y: str, scale: LayerScale | None, *, name: str) -> str:
    if scale is not None:
        y = graph.node("Mul", y, graph.weight(f"{name}.gamma", scale.gamma), out=name)
    return graph.node("Add", x, y, out=f"{name}.sum")
