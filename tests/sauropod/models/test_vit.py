"""The backbone against golden numbers, an independent implementation and its own properties."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from sauropod.errors import InputError
from sauropod.models.layers import has_xformers
from sauropod.models.vit import ARCHS, VisionTransformer, arch_of, build_vit
from sauropod.train.config import Backbone

SIZES = ["train70x70", "small42x42", "large98x98", "rect56x84", "rect112x42"]
FILES = ["vit_mlp_reg0", "vit_mlp_reg4", "vit_swiglu_reg0"]
Golden = Callable[[str], dict[str, Tensor]]


def knobs_of(name: str) -> Backbone:
    registers = 4 if "reg4" in name else 0
    return Backbone(
        arch="vit_tiny",
        embed_dim=64,
        depth=2,
        num_heads=2,
        patch_size=14,
        image_size=70,
        ffn="swiglu" if "swiglu" in name else "mlp",
        num_registers=registers,
        layerscale=1.0,
        drop_path=0.0,
        interpolate_offset=0.0 if registers else 0.1,
        interpolate_antialias=bool(registers),
    )


def golden_vit(name: str, numbers: dict[str, Tensor]) -> VisionTransformer:
    vit = build_vit(knobs_of(name))
    state = {k.removeprefix("sd/"): v for k, v in numbers.items() if k.startswith("sd/")}
    vit.load_state_dict(state, strict=True)
    return vit.eval()


def close(found: Tensor, expected: Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", SIZES)
def test_features_match_the_reference(golden: Golden, name: str, size: str) -> None:
    g = golden(name)
    vit = golden_vit(name, g)
    found = vit.forward_features([g[f"in/{size}"]])[0]
    close(found.cls_token, g[f"out/{size}/cls"])
    close(found.patch_tokens, g[f"out/{size}/patch"])
    if "reg4" in name:
        close(found.register_tokens, g[f"out/{size}/reg"])
    close(vit(g[f"in/{size}"]), g[f"out/{size}/cls"])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", SIZES)
def test_position_table_matches_the_reference(golden: Golden, name: str, size: str) -> None:
    g = golden(name)
    vit = golden_vit(name, g)
    height, width = (side // 14 for side in g[f"in/{size}"].shape[-2:])
    close(vit.position_table(height, width), g[f"out/{size}/pos_embed"])
    if "reg0" in name:
        vit.interpolate_offset, vit.interpolate_antialias = 0.0, True
        close(vit.position_table(height, width), g[f"out/{size}/pos_embed_off0_aa"])


@pytest.mark.parametrize("name", FILES)
def test_masked_packed_and_intermediate_match_the_reference(golden: Golden, name: str) -> None:
    g = golden(name)
    vit = golden_vit(name, g)
    image, mask = g["in/train70x70"], g["mask/train70x70"]
    masked = vit.forward_features([image], masks=[mask])[0]
    close(masked.cls_token, g["out/masked/cls"])
    close(masked.patch_tokens, g["out/masked/patch"])
    close(masked.prenorm, g["out/masked/prenorm"])
    a, b = vit.forward_features([image, g["in/small42x42"]], masks=[mask, None])
    close(a.cls_token, g["out/packed/a_cls"])
    close(a.patch_tokens, g["out/packed/a_patch"])
    close(b.cls_token, g["out/packed/b_cls"])
    close(b.patch_tokens, g["out/packed/b_patch"])
    for i, features in enumerate(vit.get_intermediate_layers(image, layers=2)):
        patch_map = features.patch_tokens.transpose(1, 2).unflatten(2, (5, 5))
        close(patch_map, g[f"out/inter{i}/patchmap"])
        close(features.cls_token, g[f"out/inter{i}/cls"])


@pytest.mark.parametrize("name", FILES)
def test_gradients_match_the_reference(golden: Golden, name: str) -> None:
    g = golden(name)
    vit = golden_vit(name, g)
    image = g["in/train70x70"].requires_grad_()
    f = vit.forward_features([image], masks=[g["mask/train70x70"]])[0]
    tokens = torch.cat([f.cls_token[:, None], f.register_tokens, f.patch_tokens], dim=1)
    loss = (tokens * g["grad/w"]).sum()
    loss.backward()
    close(loss, g["grad/loss"], atol=1e-4)
    assert image.grad is not None
    close(image.grad[0], g["grad/input0"], atol=5e-4)
    gradients = {n: p.grad for n, p in vit.named_parameters()}
    for key, expected in g.items():
        if key.startswith("grad/") and (name_ := key.removeprefix("grad/")) in gradients:
            close(gradients[name_], expected, atol=5e-4)


def test_intermediate_layers_by_index_and_without_norm(golden: Golden) -> None:
    g = golden("vit_mlp_reg4")
    vit = golden_vit("vit_mlp_reg4", g)
    image = g["in/rect56x84"]
    last = vit.get_intermediate_layers(image, layers=[1])[0]
    close(last.patch_tokens, vit.forward_features([image])[0].patch_tokens, atol=0)
    raw = vit.get_intermediate_layers(image, layers=1, norm=False)[0]
    close(raw.cls_token, raw.prenorm[:, 0], atol=0)


@pytest.mark.parametrize("name", FILES)
def test_packing_changes_nothing(golden: Golden, name: str) -> None:
    g = golden(name)
    vit = golden_vit(name, g)
    crops = [g[f"in/{size}"] for size in SIZES]
    for packed, crop in zip(vit.forward_features(crops), crops, strict=True):
        alone = vit.forward_features([crop])[0]
        for a, b in zip(packed, alone, strict=True):
            close(a, b, atol=1e-5)


def hub_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters under the names of the transformers library's files."""
    renamed = {}
    for name, value in state.items():
        if name.endswith(("attn.qkv.weight", "attn.qkv.bias")):
            block, kind = name.split(".")[1], name.rsplit(".", 1)[1]
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                hub = f"encoder.layer.{block}.attention.attention.{part}.{kind}"
                renamed[hub] = third.contiguous()
            continue
        for ours, theirs in (
            ("blocks.", "encoder.layer."),
            ("attn.proj", "attention.output.dense"),
            ("ls1.gamma", "layer_scale1.lambda1"),
            ("ls2.gamma", "layer_scale2.lambda1"),
            ("mlp.w12", "mlp.weights_in"),
            ("mlp.w3", "mlp.weights_out"),
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        ):
            name = name.replace(ours, theirs)
        if name in {"cls_token", "mask_token", "register_tokens"}:
            name = f"embeddings.{name}"
        name = {"pos_embed": "embeddings.position_embeddings"}.get(name, name)
        if name.startswith("norm."):
            name = f"layer{name}"
        renamed[name] = value.contiguous()
    return renamed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_transformers_computes_the_same(golden: Golden, name: str, tmp_path: Path) -> None:
    vit = golden_vit(name, golden(name))
    # Its models resize positions to the exact size; with registers also antialiased.
    vit.interpolate_offset = 0.0
    registers = {"num_register_tokens": 4} if vit.num_registers else {}
    config_type = transformers.Dinov2WithRegistersConfig if registers else transformers.Dinov2Config
    model_type = transformers.Dinov2WithRegistersModel if registers else transformers.Dinov2Model
    config = config_type(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=70,
        patch_size=14,
        layerscale_value=1.0,
        use_swiglu_ffn="swiglu" in name,
        **registers,
    )
    config.save_pretrained(tmp_path)
    save_file(
        hub_state(vit.state_dict()), tmp_path / "model.safetensors", metadata={"format": "pt"}
    )
    model, info = model_type.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    for size in SIZES:
        image = golden(name)[f"in/{size}"]
        with torch.no_grad():
            expected = model.eval()(image).last_hidden_state
            found = vit.forward_features([image])[0]
        close(found.cls_token, expected[:, 0])
        close(found.patch_tokens, expected[:, 1 + vit.num_registers :])


@pytest.mark.parametrize(
    ("arch", "ffn", "millions"),
    [("vit_small", "mlp", 22.06), ("vit_base", "mlp", 86.58), ("vit_large", "mlp", 304.37),
     ("vit_large", "swiglu", 304.79), ("vit_giant", "swiglu", 1136.48)],
)  # fmt: skip
def test_parameter_counts_are_the_papers(arch: str, ffn: str, millions: float) -> None:
    with torch.device("meta"):
        vit = VisionTransformer(Backbone(arch=arch, ffn=ffn, image_size=518))
    count = sum(p.numel() for p in vit.parameters())
    assert round(count / 1e6, 2) == pytest.approx(millions, abs=0.011)


def test_stochastic_depth_is_keyed_and_off_in_evaluation() -> None:
    knobs = Backbone(arch="vit_tiny", embed_dim=16, depth=3, num_heads=2, patch_size=7,
                     image_size=28, ffn="mlp", layerscale=1.0, drop_path=0.5)  # fmt: skip
    vit = build_vit(knobs)
    images = torch.randn(8, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    draw = [
        vit.train().forward_features([images], generator=torch.Generator().manual_seed(seed))[0]
        for seed in (5, 5, 6)
    ]
    assert torch.equal(draw[0].cls_token, draw[1].cls_token)
    assert not torch.equal(draw[0].cls_token, draw[2].cls_token)
    with pytest.raises(AssertionError, match="generator"):
        vit.forward_features([images])
    whole = build_vit(knobs).eval()(images)
    assert torch.equal(vit.eval()(images), whole)


def test_every_residual_branch_draws_its_own_images() -> None:
    knobs = Backbone(arch="vit_tiny", embed_dim=16, depth=3, num_heads=2, patch_size=7,
                     image_size=28, ffn="mlp", layerscale=1.0, drop_path=0.5)  # fmt: skip
    vit = build_vit(knobs).train()
    seen: list[Tensor] = []
    for block in vit.blocks:
        block.register_forward_pre_hook(
            lambda _module, _args, kwargs: seen.extend(s.rows for s in kwargs["subsets"]),
            with_kwargs=True,
        )
    images = [torch.zeros(32, 3, 28, 28), torch.zeros(32, 3, 14, 14)]
    vit.forward_features(images, generator=torch.Generator().manual_seed(0))
    assert len(seen) == 6
    assert len({tuple(rows.tolist()) for rows in seen}) == 6


def test_a_rectangle_of_as_many_patches_is_interpolated() -> None:
    knobs = Backbone(arch="vit_tiny", depth=1, patch_size=7, image_size=28, ffn="mlp")
    vit = build_vit(knobs)
    assert vit.position_table(4, 4) is vit.pos_embed
    table = vit.position_table(2, 8)
    assert table.shape == vit.pos_embed.shape
    assert not torch.equal(table, vit.pos_embed)


def test_building_leaves_the_global_random_state_alone() -> None:
    knobs = Backbone(arch="vit_tiny", depth=1, patch_size=14, image_size=28, ffn="mlp")
    before = torch.get_rng_state()
    first, second, other = build_vit(knobs, seed=1), build_vit(knobs, seed=1), build_vit(knobs)
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.isfinite(a).all()
    assert not torch.equal(first.pos_embed, other.pos_embed)
    assert first.blocks[0].ls1.gamma.mean().item() == pytest.approx(1e-5)


@pytest.mark.skipif(has_xformers(), reason="xformers is installed")
def test_a_missing_backend_is_named() -> None:
    with pytest.raises(InputError, match="install xformers or choose sdpa"):
        build_vit(Backbone(arch="vit_tiny", depth=1), attention="xformers")


def test_knobs_that_do_not_fit_are_the_users_mistake() -> None:
    assert arch_of(Backbone(arch="vit_small", depth=3)) == (384, 3, 6)
    assert set(ARCHS) >= {"vit_tiny", "vit_small", "vit_base", "vit_large", "vit_giant"}
    with pytest.raises(InputError, match="arch: expected vit_tiny"):
        arch_of(Backbone(arch="vit_smal"))
    with pytest.raises(InputError, match="num_heads"):
        arch_of(Backbone(arch="vit_small", num_heads=5))
    with pytest.raises(InputError, match="image_size"):
        arch_of(Backbone(arch="vit_small", image_size=225))
