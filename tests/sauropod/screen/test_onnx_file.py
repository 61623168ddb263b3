"""The ONNX file computes what the network computes."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from sauropod.screen import onnx_file, train


@pytest.mark.parametrize("pooled", [False, True])
def test_same_output_as_torch(tmp_path: Path, pooled: bool) -> None:
    net = train.convnet(((3, 6, 3, 2), (6, 8, 3, 1)), outputs=2, seed=1)
    net(torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 3)  # batch norm
    if pooled:
        net = nn.Sequential(*net, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    path = tmp_path / "net.onnx"
    onnx_file.write(net.eval(), path, size=16, output="out", metadata={"stage": "test"})
    x = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["out"], {"images": x.numpy()})
    np.testing.assert_allclose(found, net(x).detach().numpy(), atol=1e-5)
    assert [p.value for p in onnx.load(path).metadata_props] == ["test"]


def test_same_network_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        net = train.convnet(((3, 4, 6, 2),), outputs=1, seed=3).eval()
        (tmp_path / name).mkdir()
        onnx_file.write(net, tmp_path / name / "n.onnx", size=8, output="out", metadata={})
    assert (tmp_path / "a/n.onnx").read_bytes() == (tmp_path / "b/n.onnx").read_bytes()


def test_fold_by_hand() -> None:
    conv, norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0)
    with torch.no_grad():
        conv.weight.fill_(3)
        norm.weight.fill_(4)
        norm.bias.fill_(5)
    norm.running_mean.fill_(6)
    norm.running_var.fill_(16)
    weight, bias = onnx_file.fold(conv, norm)
    assert weight.item() == 3  # 3 * 4 / sqrt(16)
    assert bias.item() == -1  # 5 - 6 * 4 / sqrt(16)
