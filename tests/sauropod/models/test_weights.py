"""Weights files: round trip, Meta's files, wrong architectures."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sauropod.errors import InputError
from sauropod.models.head import build_heads
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.models.weights import (
    infer_backbone,
    load_backbone,
    load_heads,
    resize_pos_embed,
    save_backbone,
    save_heads,
)
from sauropod.train.config import Backbone, Heads

KNOBS = Backbone(arch="vit_tiny", embed_dim=64, depth=2, num_heads=1, patch_size=7, image_size=28,
                 ffn="swiglu", num_registers=2, drop_path=0.1)  # fmt: skip
HEADS = Heads(num_prototypes=16, bottleneck_dim=4, hidden_dim=8, ibot_num_prototypes=12,
              ibot_bottleneck_dim=4)  # fmt: skip
STAMP = {"stage": "test", "commit": "0", "knobs": "{}", "inputs": "[]"}


def test_backbone_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    vit = build_vit(KNOBS, seed=1)
    save_backbone(path, vit, knobs=KNOBS, stamp=STAMP)
    loaded, knobs = load_backbone(path)
    assert knobs == KNOBS
    assert not loaded.training
    for (name, a), (other, b) in zip(
        vit.state_dict().items(), loaded.state_dict().items(), strict=True
    ):
        assert name == other
        assert torch.equal(a, b)
    image = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(image), vit.eval()(image))
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["stage"] == "test"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_heads_round_trip_leaves_the_backbone_out(tmp_path: Path) -> None:
    path = tmp_path / "heads.safetensors"
    heads = build_heads(HEADS, embed_dim=64)
    both = torch.nn.ModuleDict({"backbone": build_vit(KNOBS), **dict(heads.items())})
    save_heads(path, both, knobs=HEADS, stamp=STAMP)
    loaded, knobs = load_heads(path)
    assert knobs == HEADS
    for a, b in zip(heads.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def test_metas_file_is_recognised(tmp_path: Path) -> None:
    vit = build_vit(KNOBS, seed=2)
    released = tmp_path / "vit.pth"
    torch.save(vit.state_dict(), released)
    loaded, knobs = load_backbone(released)
    expected = dataclasses.replace(
        KNOBS, arch="vit_small", drop_path=0.0, layerscale=1.0, interpolate_offset=0.0,
        interpolate_antialias=True,
    )  # fmt: skip
    assert knobs == expected
    assert torch.equal(loaded.pos_embed, vit.pos_embed)


def test_metas_training_checkpoint_is_recognised(tmp_path: Path) -> None:
    vit = build_vit(KNOBS, seed=2)
    chunked = {
        f"backbone.{k.replace('blocks.', 'blocks.0.')}": v for k, v in vit.state_dict().items()
    }
    chunked["dino_head.mlp.0.weight"] = torch.zeros(2, 2)
    checkpoint = tmp_path / "teacher_checkpoint.pth"
    torch.save({"teacher": chunked}, checkpoint)
    loaded, _ = load_backbone(checkpoint)
    for a, b in zip(vit.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def test_inferred_knobs_name_the_released_models() -> None:
    for arch, ffn, registers in (("vit_small", "mlp", 0), ("vit_giant", "swiglu", 4)):
        knobs = Backbone(
            arch=arch, ffn=ffn, num_registers=registers, image_size=518, drop_path=0.0,
            layerscale=1.0, interpolate_offset=0.0 if registers else 0.1,
            interpolate_antialias=bool(registers),
        )  # fmt: skip
        with torch.device("meta"):
            vit = VisionTransformer(knobs)
        assert infer_backbone(Path("x.pth"), vit.state_dict()) == knobs


def test_wrong_architecture_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    save_backbone(path, build_vit(KNOBS), knobs=KNOBS, stamp=STAMP)
    with pytest.raises(InputError, match=r"cls_token of shape \(1, 1, 192\), found \(1, 1, 64\)"):
        load_backbone(path, expect=dataclasses.replace(KNOBS, embed_dim=0, num_heads=0))
    with pytest.raises(InputError, match=r"a parameter blocks\.2\.norm1\.weight, found none"):
        load_backbone(path, expect=dataclasses.replace(KNOBS, depth=3))
    with pytest.raises(InputError, match=r"found blocks\.1\.attn\.proj\.bias too"):
        load_backbone(path, expect=dataclasses.replace(KNOBS, depth=1))
    heads = tmp_path / "heads.safetensors"
    save_heads(heads, build_heads(HEADS, embed_dim=64), knobs=HEADS, stamp=STAMP)
    with pytest.raises(InputError, match="knobs of backbone"):
        load_backbone(heads)
    with pytest.raises(InputError, match="knobs of heads"):
        load_heads(path)
    with pytest.raises(InputError, match=r"dino_head.last_layer.weight_g of shape \(8, 1\)"):
        load_heads(heads, expect=dataclasses.replace(HEADS, num_prototypes=8))


def test_unreadable_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_backbone(tmp_path / "none.safetensors")
    for name in ("bad.safetensors", "bad.pth"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(InputError, match="expected tensors"):
            load_backbone(tmp_path / name)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="backbone weights, found no 'patch_embed"):
        load_backbone(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="heads saved by sauropod"):
        load_heads(tmp_path / "other.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="backbone weights"):
        load_backbone(tmp_path / "list.pth")
    code = tmp_path / "code.pth"
    torch.save({"x": Path("/")}, code)  # not a tensor: refused, never executed
    with pytest.raises(InputError, match="expected tensors"):
        load_backbone(code)


def test_resized_positions_are_those_the_model_would_interpolate() -> None:
    vit = build_vit(KNOBS, seed=3).eval()
    larger, knobs = resize_pos_embed(vit, knobs=KNOBS, image_size=42)
    assert knobs.image_size == 42
    assert larger.pos_embed.shape == (1, 37, 64)
    assert larger.pos_embed.requires_grad
    image = torch.randn(1, 3, 42, 42, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(larger.eval()(image), vit(image))
    assert vit.pos_embed.shape == (1, 17, 64)
    with pytest.raises(InputError, match="patch_size"):
        resize_pos_embed(vit, knobs=KNOBS, image_size=45)
