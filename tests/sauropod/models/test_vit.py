"""The backbone against golden numbers and its own properties (test_huggingface.py: another's)."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor

from sauropod.errors import InputError
from sauropod.models.layers import Block, Subset, has_xformers
from sauropod.models.vit import ARCHS, Features, VisionTransformer, arch_of, build_vit
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


def scalar(features: list[Features]) -> Tensor:
    """A random direction of all outputs; sums of squares are constant after a norm."""
    generator = torch.Generator().manual_seed(4)
    outputs = [
        t.float() for f in features for t in (f.cls_token, f.register_tokens, f.patch_tokens)
    ]
    weighted = [(t * torch.randn(t.shape, generator=generator)).sum() for t in outputs]
    return torch.stack(weighted).sum() / 10


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
    masks = [g["mask/train70x70"], *[None] * 4]
    packed = vit.forward_features(crops, masks=masks)
    alone = [
        vit.forward_features([crop], masks=[mask])[0]
        for crop, mask in zip(crops, masks, strict=True)
    ]
    for together, single in zip(packed, alone, strict=True):
        for a, b in zip(together, single, strict=True):
            close(a, b, atol=1e-5)
    of_packed = torch.autograd.grad(scalar(packed), list(vit.parameters()))
    of_alone = torch.autograd.grad(scalar(alone), list(vit.parameters()))
    for a, b in zip(of_packed, of_alone, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


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


DEEP = Backbone(
    arch="vit_tiny", embed_dim=16, depth=3, num_heads=2, patch_size=7, image_size=28, ffn="mlp",
    layerscale=1.0, drop_path=0.5, num_registers=1,
)  # fmt: skip


def crops_of(num_images: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = [(2 * num_images, 28), (3 * num_images, 14)]
    return [torch.randn(n, 3, side, side, generator=generator) for n, side in sizes]


def kept_by_block(vit: VisionTransformer, crops: list[Tensor]) -> list[list[Subset | None]]:
    seen: list[list[Subset | None]] = []
    for block in vit.blocks:
        block.register_forward_pre_hook(
            lambda _module, _args, kwargs: seen.append(list(kwargs["subsets"])), with_kwargs=True
        )
    vit.train().forward_features(crops, generator=torch.Generator().manual_seed(0))
    return seen


def test_stochastic_depth_is_keyed_and_off_in_evaluation() -> None:
    vit = build_vit(DEEP)
    crops = crops_of(4)
    draw = [
        vit.train().forward_features(crops, generator=torch.Generator().manual_seed(seed))[0]
        for seed in (5, 5, 6)
    ]
    assert torch.equal(draw[0].cls_token, draw[1].cls_token)
    assert not torch.equal(draw[0].cls_token, draw[2].cls_token)
    with pytest.raises(AssertionError, match="generator"):
        vit.forward_features(crops)
    whole = build_vit(dataclasses.replace(DEEP, drop_path=0.0)).train()(crops[0])
    assert torch.equal(vit.eval()(crops[0]), whole)


def test_every_residual_branch_draws_its_own_images() -> None:
    seen = kept_by_block(build_vit(DEEP), crops_of(16))
    rows = [tuple(s.rows.tolist()) for pair in seen for s in pair if s is not None]
    assert len(rows) == len(set(rows)) == 6


def test_the_ramp_grows_from_nothing_to_the_full_rate() -> None:
    vit = build_vit(dataclasses.replace(DEEP, depth=4, drop_path=0.6, drop_path_ramp=True))
    seen = kept_by_block(vit, crops_of(10))
    assert seen[0] == [None, None]
    images = [[group.num_images for group in pair[0].layout] for pair in seen[1:] if pair[0]]
    assert images == [[16, 24], [12, 18], [8, 12]]  # 0.2, 0.4 and 0.6 of 20 and 30 are skipped
    assert all(pair[0].layout == pair[1].layout for pair in seen[1:] if pair[0] and pair[1])


def trained(vit: VisionTransformer, num_images: int = 4) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and gradients of a training pass with masks and stochastic depth."""
    crops = crops_of(num_images)
    mask = torch.rand(len(crops[0]), 16, generator=torch.Generator().manual_seed(2)) < 0.4
    generator = torch.Generator().manual_seed(3)
    features = vit.train().forward_features(crops, masks=[mask, None], generator=generator)
    gradients = torch.autograd.grad(scalar(features), list(vit.parameters()))
    return [output for f in features for output in f], list(gradients)


@pytest.mark.parametrize("ffn", ["mlp", "swiglu"])
def test_recomputing_changes_no_bit(ffn: Literal["mlp", "swiglu"]) -> None:
    vit = build_vit(dataclasses.replace(DEEP, ffn=ffn))
    plain = trained(vit)
    vit.recompute = True
    for before, after in zip(plain, trained(copy.deepcopy(vit)), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_recomputing_keeps_only_the_blocks_inputs() -> None:
    vit = build_vit(DEEP).train()
    kept = []
    for recompute in (False, True):
        vit.recompute = recompute
        storages: dict[int, int] = {}

        def keep(tensor: Tensor, storages: dict[int, int] = storages) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            features = vit.forward_features(crops_of(4), generator=torch.Generator())
        kept.append(sum(storages.values()))
        del features
    assert kept[1] < kept[0] / 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
def test_compiled_blocks_compute_the_same() -> None:
    knobs = dataclasses.replace(DEEP, depth=2)
    plain = trained(build_vit(knobs))
    vit = build_vit(knobs)
    vit.compile_blocks()
    for before, after in zip(plain, trained(vit), strict=True):
        for a, b in zip(before, after, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_chosen_tokens_are_those_of_all_features(
    golden: Golden, name: str, drop_path: float, recompute: bool
) -> None:
    vit = golden_vit(name, golden(name)).train()
    vit.drop_path, vit.recompute = drop_path, recompute
    crops = [torch.randn(4, 3, 70, 56), torch.randn(6, 3, 42, 28)]
    masks = [torch.rand(4, 20) < 0.4, None]
    patches = masks[0].flatten().nonzero()[:, 0].flip(0)  # any order

    def gradients(cls_tokens: list[Tensor], chosen: Tensor) -> list[Tensor]:
        vit.zero_grad()
        (torch.cat([*cls_tokens, chosen]) * direction).sum().backward()
        return [p.grad.clone() for p in vit.parameters() if p.grad is not None]

    direction = torch.randn(10 + len(patches), vit.embed_dim)
    generator = torch.Generator().manual_seed(3)
    whole = vit.forward_features(crops, masks=masks, generator=generator)
    expected = [f.cls_token for f in whole], whole[0].patch_tokens.flatten(0, 1)[patches]
    generator.manual_seed(3)
    found = vit.forward_tokens(crops, patches=patches, masks=masks, generator=generator)
    for ours, theirs in zip((*found[0], found[1]), (*expected[0], expected[1]), strict=True):
        close(ours, theirs)
    for ours, theirs in zip(gradients(*found), gradients(*expected), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_without_stochastic_depth_the_last_mlp_sees_the_chosen_tokens_alone() -> None:
    vit = build_vit(knobs_of("reg4"))
    seen: list[int] = []
    for block in vit.blocks:
        assert isinstance(block, Block)
        block.mlp.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    vit.forward_tokens([torch.randn(2, 3, 70, 70)], patches=torch.tensor([0, 49]))
    assert seen == [2 * 30, 2 + 2]


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
    vit = build_vit(Backbone(arch="vit_tiny", depth=1))
    with pytest.raises(InputError, match="install xformers or choose sdpa"):
        vit.run_by("xformers", recompute=False)


def test_knobs_that_do_not_fit_are_the_users_mistake() -> None:
    assert arch_of(Backbone(arch="vit_small", depth=3)) == (384, 3, 6)
    assert set(ARCHS) >= {"vit_tiny", "vit_small", "vit_base", "vit_large", "vit_giant"}
    with pytest.raises(InputError, match="arch: expected vit_tiny"):
        arch_of(Backbone(arch="vit_smal"))
    with pytest.raises(InputError, match="num_heads"):
        arch_of(Backbone(arch="vit_small", num_heads=5))
    with pytest.raises(InputError, match="image_size"):
        arch_of(Backbone(arch="vit_small", image_size=225))
