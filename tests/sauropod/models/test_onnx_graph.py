"""The graph under onnxruntime against the backbone in PyTorch."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tests.sauropod.models.conftest import MakeVit

from sauropod.models import onnx_graph
from sauropod.models.vit import VisionTransformer

# Batch, rows and columns of patches; 4 x 4 is stored, 2 x 8 has as many.
SHAPES = [(1, 4, 4), (3, 4, 4), (1, 2, 8), (2, 3, 3), (1, 9, 4), (2, 4, 5), (1, 1, 1), (1, 13, 17)]
RESIZING = [(0.0, False), (0.1, False), (0.0, True), (0.1, True)]


def session_of(vit: VisionTransformer, path: Path) -> onnxruntime.InferenceSession:
    onnx_graph.write(vit, path, data=path.with_name("weights.data"), metadata={"stage": "test"})
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def compare(vit: VisionTransformer, session: onnxruntime.InferenceSession) -> None:
    generator = torch.Generator().manual_seed(3)
    for batch, rows, columns in SHAPES:
        images = torch.randn(batch, 3, 7 * rows, 7 * columns, generator=generator)
        names = [output.name for output in session.get_outputs()]
        outputs = session.run(names, {"images": images.numpy()})
        with torch.no_grad():
            expected = vit.forward_features([images])[0]
        for name, output in zip(names, outputs, strict=True):
            found = torch.from_numpy(np.asarray(output))
            torch.testing.assert_close(found, getattr(expected, name), atol=2e-5, rtol=0)


@pytest.mark.parametrize(("offset", "antialias"), RESIZING)
def test_any_batch_and_size_in_every_way_of_resizing(
    make_vit: MakeVit, tmp_path: Path, offset: float, antialias: bool
) -> None:
    vit, _ = make_vit(interpolate_offset=offset, interpolate_antialias=antialias)
    session = session_of(vit, tmp_path / "vit.onnx")
    assert [output.name for output in session.get_outputs()] == ["cls_token", "patch_tokens"]
    compare(vit, session)
    assert session.get_modelmeta().custom_metadata_map == {"stage": "test"}


@pytest.mark.parametrize("layerscale", [0.0, 1.0])
def test_gated_mlp_registers_and_layerscale(
    make_vit: MakeVit, tmp_path: Path, layerscale: float
) -> None:
    vit, _ = make_vit(ffn="swiglu", registers=4, layerscale=layerscale)
    session = session_of(vit, tmp_path / "vit.onnx")
    shapes = {output.name: output.shape for output in session.get_outputs()}
    assert shapes == {
        "cls_token": ["batch", 128],
        "register_tokens": ["batch", 4, 128],
        "patch_tokens": ["batch", "patches", 128],
    }
    compare(vit, session)


def test_large_weights_lie_beside_the_graph(
    make_vit: MakeVit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vit, _ = make_vit()
    assert not onnx_graph.is_large(vit)
    monkeypatch.setattr(onnx_graph, "ONE_FILE", 1000)
    session = session_of(vit, tmp_path / "vit.onnx")
    assert (tmp_path / "vit.onnx").stat().st_size < 100_000 < 1_000_000
    assert (tmp_path / "weights.data").stat().st_size > 1_000_000
    compare(vit, session)


def test_same_weights_same_bytes(make_vit: MakeVit, tmp_path: Path) -> None:
    vit, _ = make_vit()
    for name in ("a.onnx", "b.onnx"):
        session_of(vit, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
