"""src/export.py: from our weights to every layout and back; its command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import export
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.models.weights import load_backbone, provenance, save_backbone
from sauropod.train.config import Backbone

SCRIPT = Path(export.__file__)
KNOBS = Backbone(arch="vit_tiny", embed_dim=64, depth=1, num_heads=1, patch_size=7, image_size=28,
                 ffn="mlp", num_registers=1, layerscale=1.0, drop_path=0.0,
                 interpolate_offset=0.0, interpolate_antialias=True)  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, VisionTransformer]:
    vit = build_vit(KNOBS, seed=4).eval()
    stamp = {"stage": "pretrain", "commit": "abc", "knobs": "{}", "inputs": "[]"}
    save_backbone(tmp_path / "backbone.safetensors", vit, knobs=KNOBS, stamp=stamp)
    return tmp_path / "backbone.safetensors", vit


def test_through_every_layout_and_back(
    saved: tuple[Path, VisionTransformer], tmp_path: Path
) -> None:
    path, vit = saved
    chain = ("huggingface", "hub"), ("meta", "m.pth"), ("timm", "t.safetensors")
    for layout, name in (*chain, ("safetensors", "s.safetensors")):
        export.main(path, layout, tmp_path / name)
        path = tmp_path / name
    export.main(path, "onnx", tmp_path / "o.onnx")
    again, knobs = load_backbone(path)
    assert (knobs.image_size, knobs.interpolate_antialias) == (28, True)
    image = torch.randn(1, 3, 35, 21, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(again(image), vit(image), atol=1e-5, rtol=0)
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["num_register_tokens"] == 1
    card = (tmp_path / "hub" / "README.md").read_text()
    assert '"commit": "abc"' in card
    assert provenance(path)["stage"] == "export"


def test_help() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True
    )
    assert "{safetensors,huggingface,meta,timm,onnx}" in done.stdout


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "b.pth").write_bytes(b"junk")
    words = [sys.executable, SCRIPT, "--backbone", tmp_path / "b.pth", "--layout", "meta"]
    done = subprocess.run(
        [*words, "--out", tmp_path / "out.pth"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "b.pth: expected tensors" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["b.pth"]
