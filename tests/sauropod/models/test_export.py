"""Exports: what is written computes the same, or nothing is written."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tests.sauropod.models.conftest import MakeVit
from torch import Tensor

from sauropod.errors import InputError
from sauropod.models import export as module
from sauropod.models import onnx_graph
from sauropod.models.export import Layout, check, export
from sauropod.models.vit import VisionTransformer
from sauropod.models.weights import load_backbone

STAMP = {"stage": "export", "commit": "0", "knobs": "{}", "inputs": "[]"}
KINDS = [("mlp", 0), ("mlp", 4), ("swiglu", 0), ("swiglu", 4)]
NAMES: dict[Layout, str] = {
    "safetensors": "vit.safetensors", "huggingface": "vit", "meta": "vit.pth",
    "timm": "vit-timm.safetensors", "onnx": "vit.onnx",
}  # fmt: skip


@pytest.mark.parametrize("layout", ["safetensors", "huggingface", "meta", "timm"])
@pytest.mark.parametrize(("ffn", "registers"), KINDS)
def test_what_is_written_is_read_back_without_being_told_what_it_is(
    make_vit: MakeVit, tmp_path: Path, layout: Layout, ffn: str, registers: int
) -> None:
    vit, knobs = make_vit(ffn=ffn, registers=registers)
    out = tmp_path / NAMES[layout]
    export(vit, knobs=knobs, layout=layout, out=out, stamp=STAMP)
    again, found = load_backbone(out)
    assert (found.ffn, found.num_registers, found.image_size) == (ffn, registers, 28)
    image = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(again(image), vit(image), atol=1e-6, rtol=0)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["vit_mlp_reg0", "vit_mlp_reg4", "vit_swiglu_reg0"])
def test_metas_layout_has_the_references_names_and_shapes(
    make_vit: MakeVit, golden: Callable[[str], dict[str, Tensor]], tmp_path: Path, name: str
) -> None:
    recorded = {k.removeprefix("sd/"): v for k, v in golden(name).items() if k.startswith("sd/")}
    vit, knobs = make_vit(
        ffn="swiglu" if "swiglu" in name else "mlp", registers=4 if "reg4" in name else 0,
        embed_dim=64, patch_size=14, image_size=70,
    )  # fmt: skip
    vit.load_state_dict(recorded)
    export(vit, knobs=knobs, layout="meta", out=tmp_path / "vit.pth", stamp=STAMP)
    written = torch.load(tmp_path / "vit.pth", weights_only=True)
    assert {k: v.shape for k, v in written.items()} == {k: v.shape for k, v in recorded.items()}
    for key, tensor in recorded.items():
        assert torch.equal(written[key], tensor)


def test_a_layerscale_that_we_lack_stays_without_effect(make_vit: MakeVit, tmp_path: Path) -> None:
    vit, knobs = make_vit(layerscale=0.0)
    for layout, name in NAMES.items():
        export(vit, knobs=knobs, layout=layout, out=tmp_path / name, stamp=STAMP)


def test_what_differs_or_is_not_told_is_logged(
    make_vit: MakeVit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vit, knobs = make_vit(embed_dim=96, num_heads=3)
    with caplog.at_level(logging.INFO):
        export(vit, knobs=knobs, layout="huggingface", out=tmp_path / "vit", stamp=STAMP)
        assert "huggingface resizes positions in its own way: at 35x14 pixels" in caplog.text
        assert "huggingface at 28x28 pixels: greatest difference 0 of features" in caplog.text
        assert "number of heads" not in caplog.text
        caplog.clear()
        export(vit, knobs=knobs, layout="meta", out=tmp_path / "vit.pth", stamp=STAMP)
    assert "in its own way" not in caplog.text
    assert "meta files do not tell the number of heads: ask for 3" in caplog.text


def test_timms_file_says_where_it_comes_from(make_vit: MakeVit, tmp_path: Path) -> None:
    vit, knobs = make_vit()
    export(vit, knobs=knobs, layout="timm", out=tmp_path / "a.safetensors", stamp=STAMP)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", **STAMP}


@pytest.mark.parametrize("layout", list(NAMES))
def test_nothing_is_left_of_an_export_that_computes_something_else(
    make_vit: MakeVit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    vit, knobs = make_vit()

    def other(path: Path, **_: object) -> tuple[VisionTransformer, object]:
        found, others = load_backbone(path, expect=knobs)
        with torch.no_grad():
            found.blocks[1].norm2.bias[3] += 0.1
        return found, others

    build = onnx_graph.build

    def other_graph(given: VisionTransformer) -> object:
        model = build(given)
        softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
        softmax.attribute[0].i = 1
        return model

    monkeypatch.setattr(module, "load_backbone", other)
    monkeypatch.setattr(onnx_graph, "build", other_graph)
    monkeypatch.setattr(onnx_graph, "ONE_FILE", 1000)
    with pytest.raises(AssertionError, match=f"{layout} computes other features"):
        export(vit, knobs=knobs, layout=layout, out=tmp_path / NAMES[layout], stamp=STAMP)
    assert list(tmp_path.iterdir()) == []


def test_features_that_are_no_numbers_never_agree(make_vit: MakeVit) -> None:
    vit, _ = make_vit()
    with pytest.raises(AssertionError, match="x computes other"):
        check(lambda images: torch.full((len(images), 17, 128), torch.nan), vit,
              tolerance=1.0, label="x")  # fmt: skip


def test_large_onnx_files_come_and_go_with_their_data(
    make_vit: MakeVit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "ONE_FILE", 1000)
    vit, knobs = make_vit()
    sizes = set()
    for _ in range(2):
        export(vit, knobs=knobs, layout="onnx", out=tmp_path / "vit.onnx", stamp=STAMP)
        assert {path.name for path in tmp_path.iterdir()} == {"vit.onnx", "vit.onnx.data"}
        sizes.add((tmp_path / "vit.onnx.data").stat().st_size)
    assert len(sizes) == 1
    monkeypatch.setattr(module, "TOLERANCE_ONNX", -1.0)
    with pytest.raises(AssertionError, match="onnx computes other"):
        export(vit, knobs=knobs, layout="onnx", out=tmp_path / "vit.onnx", stamp=STAMP)
    assert list(tmp_path.iterdir()) == []  # no graph without its data


def test_mistakes_are_one_sentence(
    make_vit: MakeVit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vit, knobs = make_vit()
    for layout in ("safetensors", "meta", "timm", "onnx"):
        with pytest.raises(InputError, match=r"expected the suffix \.\w+, found \.bin"):
            export(vit, knobs=knobs, layout=layout, out=tmp_path / "vit.bin", stamp=STAMP)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(InputError, match="a folder yet to be made"):
        export(vit, knobs=knobs, layout="huggingface", out=tmp_path / "full", stamp=STAMP)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"expected the package onnx.*sauropod\[export\]"):
        export(vit, knobs=knobs, layout="onnx", out=tmp_path / "vit.onnx", stamp=STAMP)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
