"""Write a small convolutional network as an ONNX file, node by node.

Only what the demo's detectors are made of: a chain of convolution, batch norm and ReLU, and a
global maximum at the end. Batch norm is folded into the convolution before it, so the file holds
plain Conv and Relu nodes that any runtime executes.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from sauropod import io

OPSET = 17
IR_VERSION = 9  # read by every onnxruntime since 1.16


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the one convolution that equals `norm(conv(x))` at inference."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        bias = bias + conv.bias * scale
    return conv.weight * scale.view(-1, 1, 1, 1), bias


@torch.no_grad()
def write(
    net: nn.Sequential, path: Path, *, size: int, output: str, metadata: dict[str, str]
) -> None:
    """Write a chain of Conv2d, BatchNorm2d, ReLU and AdaptiveMaxPool2d(1) + Flatten as ONNX.

    Args:
        net: The network, in evaluation mode.
        path: File to write, atomically.
        size: Side of the square input, pixels; the batch is free.
        output: Name of the output.
        metadata: Strings kept in the file.
    """
    assert not net.training
    nodes, weights, name, layers = [], [], "images", list(net)
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            continue  # folded into the convolution before it
        before, name = name, f"x{i}"
        if isinstance(layer, nn.Conv2d):
            norm = layers[i + 1] if i + 1 < len(layers) else None
            weight, bias = layer.weight, layer.bias
            if isinstance(norm, nn.BatchNorm2d):
                weight, bias = fold(layer, norm)
            assert bias is not None
            weights += [_tensor(weight, f"w{i}"), _tensor(bias, f"b{i}")]
            pads = [*layer.padding, *layer.padding]
            node = helper.make_node(
                "Conv", [before, f"w{i}", f"b{i}"], [name], strides=list(layer.stride), pads=pads
            )
        else:
            kinds = {nn.ReLU: "Relu", nn.AdaptiveMaxPool2d: "GlobalMaxPool", nn.Flatten: "Flatten"}
            node = helper.make_node(kinds[type(layer)], [before], [name])
        nodes.append(node)
    nodes.append(helper.make_node("Identity", [name], [output]))
    shape = list(net(torch.zeros(1, 3, size, size)).shape)
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, size, size])],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["batch", *shape[1:]])],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    with io.replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _tensor(values: torch.Tensor, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values.numpy(), dtype=np.float32), name)
