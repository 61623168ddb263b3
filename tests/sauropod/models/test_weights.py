"""Weights files: round trip, files of others, wrong architectures, broken and hostile files."""

import dataclasses
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sauropod.errors import InputError
from sauropod.models.head import build_heads
from sauropod.models.layouts import to_huggingface, to_timm
from sauropod.models.vit import ARCHS, VisionTransformer, build_vit
from sauropod.models.weights import (
    infer_backbone,
    load_backbone,
    load_heads,
    provenance,
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
    assert provenance(path) == STAMP
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
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


def test_heads_of_metas_training_checkpoint(tmp_path: Path) -> None:
    for separate in (True, False):
        heads = build_heads(dataclasses.replace(HEADS, separate_ibot=separate), embed_dim=64)
        both = torch.nn.ModuleDict({"backbone": build_vit(KNOBS), **dict(heads.items())})
        checkpoint = tmp_path / "teacher_checkpoint.pth"
        torch.save({"teacher": both.state_dict()}, checkpoint)
        loaded, knobs = load_heads(checkpoint)
        if separate:
            assert knobs == HEADS
        assert (knobs.num_layers, knobs.separate_ibot) == (3, separate)
        for (name, a), (other, b) in zip(
            heads.named_parameters(), loaded.named_parameters(), strict=True
        ):
            assert name == other
            assert torch.equal(a, b)


def test_inferred_knobs_name_the_released_models() -> None:
    for arch, (_, depth, _), registers in [(*item, r) for item in ARCHS.items() for r in (0, 4)]:
        knobs = Backbone(
            arch=arch, ffn="swiglu" if arch == "vit_giant" else "mlp", num_registers=registers,
            image_size=518, drop_path=0.0, layerscale=1.0,
            interpolate_offset=0.0 if registers else 0.1, interpolate_antialias=bool(registers),
        )  # fmt: skip
        with torch.device("meta"):
            state = VisionTransformer(knobs).state_dict()
        assert infer_backbone(Path("x.pth"), state, names="meta") == knobs
        told = infer_backbone(Path("x"), state, names="timm", num_heads=2)
        assert (told.depth, told.num_heads, told.interpolate_antialias) == (depth, 2, True)


@pytest.mark.parametrize("library", [dict, to_huggingface, to_timm])
def test_every_tensor_is_wanted_and_no_other(
    tmp_path: Path, library: Callable[..., dict[str, Tensor]]
) -> None:
    state = library(build_vit(KNOBS, seed=2).state_dict())
    path = tmp_path / "model.safetensors"
    whole = {name: tensor.contiguous() for name, tensor in state.items()}
    for name in whole:
        save_file({k: v for k, v in whole.items() if k != name}, path)
        if name.endswith(("mask_token", "register_tokens", "reg_token")):
            continue  # made up, or another architecture
        with pytest.raises(InputError, match=r"model\.safetensors: expected "):
            load_backbone(path)
    for name in ("head.weight", "blocks.0.attn.q_norm.weight", "encoder.layer.0.extra"):
        save_file({**whole, name: torch.zeros(1)}, path)
        with pytest.raises(InputError, match=r"model\.safetensors: expected "):
            load_backbone(path)
    save_file(whole | {"pos_embed": torch.zeros(1, 17, 64, dtype=torch.int8)}, path)
    with pytest.raises(InputError, match=r"model\.safetensors: expected "):
        load_backbone(path)


def test_a_folder_of_hugging_face_has_weights_and_a_config_we_know(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.safetensors: expected a weights file"):
        load_backbone(tmp_path)
    state = to_huggingface(build_vit(KNOBS).state_dict())
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "model.safetensors")
    assert load_backbone(tmp_path)[1].num_heads == 1
    config = tmp_path / "config.json"
    for text, message in (
        ("{", "a config of DINOv2"),
        ("[1]", "a config of DINOv2"),
        ('{"num_attention_heads": "two"}', "a config of DINOv2"),
        ('{"num_attention_heads": 2, "hidden_act": "relu"}', "hidden_act gelu, found relu"),
        ('{"num_attention_heads": 2, "qkv_bias": false}', "qkv_bias True, found False"),
        ('{"num_attention_heads": 2, "num_register_tokens": 4}', "num_register_tokens 2, found 4"),
    ):
        config.write_text(text)
        with pytest.raises(InputError, match=rf"config\.json: expected {message}"):
            load_backbone(tmp_path)
    config.write_text(json.dumps({"num_attention_heads": 2, "layer_norm_eps": 1e-6}))
    assert load_backbone(tmp_path)[1].num_heads == 2


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
    with pytest.raises(InputError, match="projection heads"):
        load_heads(tmp_path / "other.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="backbone weights"):
        load_backbone(tmp_path / "list.pth")


class _Hostile:
    """Unpickled, this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    state = build_vit(KNOBS).state_dict()
    trap = tmp_path / "trap"
    torch.save({**state, "x": _Hostile(trap)}, tmp_path / "code.pth")
    for read in (load_backbone, load_heads):
        with pytest.raises(InputError, match=r"code\.pth: expected tensors"):
            read(tmp_path / "code.pth")
    assert not trap.exists()


def test_cut_and_changed_files_are_one_sentence(tmp_path: Path) -> None:
    vit = build_vit(KNOBS)
    ours, released = tmp_path / "ours.safetensors", tmp_path / "vit.pth"
    save_backbone(ours, vit, knobs=KNOBS, stamp=STAMP)
    torch.save(vit.state_dict(), released)
    for path in (ours, released):
        data = path.read_bytes()
        bad = tmp_path / f"bad{path.suffix}"
        for size in (0, 4, 9, 1000, len(data) // 2, len(data) - 1):
            bad.write_bytes(data[:size])
            with pytest.raises(InputError, match=r"bad\.\w+: expected tensors"):
                load_backbone(bad)
    flipped = bytearray(ours.read_bytes())
    flipped[12] ^= 1  # inside the header
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(flipped)
    with pytest.raises(InputError, match=r"bad\.safetensors: expected "):
        load_backbone(bad)
    with zipfile.ZipFile(released) as archive, zipfile.ZipFile(tmp_path / "z.pth", "w") as other:
        for name in archive.namelist()[:-3]:
            other.writestr(name, archive.read(name)[:-8])
    with pytest.raises(InputError, match=r"z\.pth: expected tensors"):
        load_backbone(tmp_path / "z.pth")


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
