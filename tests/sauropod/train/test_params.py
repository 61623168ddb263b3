"""Optimiser groups against golden numbers; clipping by hand."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from sauropod.models.head import Head
from sauropod.models.vit import VisionTransformer
from sauropod.train.config import Backbone
from sauropod.train.params import clip_gradients, multipliers, param_groups, set_hyperparameters


def backbone(ffn: str, registers: int, depth: int = 3, arch: str = "vit_tiny") -> VisionTransformer:
    knobs = Backbone(arch=arch, depth=depth, ffn=ffn, num_registers=registers)  # type: ignore[arg-type]
    with torch.device("meta"):
        return VisionTransformer(knobs)


def head() -> Head:
    with torch.device("meta"):
        return Head(in_dim=8, num_prototypes=6, hidden_dim=4, bottleneck_dim=4)


def test_match_the_reference(golden_folder: Path) -> None:
    expected = json.loads((golden_folder / "param_groups.json").read_text())
    modules = {
        "backbone_mlp_reg0_depth3_decay0.9_patchmult0.2": backbone("mlp", 0),
        "backbone_swiglufused_reg4_depth3_decay0.9_patchmult0.2": backbone("swiglu", 4),
        "head": head(),
    }
    assert modules.keys() == expected.keys()
    for model, module in modules.items():
        found = {
            name: multipliers(
                name,
                depth=len(getattr(module, "blocks", ())),
                layerwise_decay=0.9,
                patch_embed_lr=0.2,
            )
            for name, _ in module.named_parameters()
        }
        assert found.keys() == expected[model].keys()
        for name, (lr, wd, last) in expected[model].items():
            assert found[name] == (pytest.approx(lr), wd, last), name


def test_small_model_fuses_to_28_groups() -> None:
    student = {"backbone": backbone("mlp", 0, depth=12, arch="vit_small")}
    groups = param_groups(student, layerwise_decay=0.9, patch_embed_lr=0.2)
    assert len(groups) == 28
    assert sum(len(g["params"]) for g in groups) == 175
    assert max(g["lr_multiplier"] for g in groups) == 1
    assert min(g["lr_multiplier"] for g in groups) == pytest.approx(0.05084, rel=1e-3)


def test_hyperparameters_reach_the_groups() -> None:
    modules = {"backbone": backbone("mlp", 0), "dino_head": head()}
    groups = param_groups(modules, layerwise_decay=0.5)
    optimizer = torch.optim.AdamW(groups, lr=0.0)
    set_hyperparameters(optimizer, lr=1.0, weight_decay=0.1, last_layer_lr=0.25, backbone_lr=0.5)
    rates = {parameter: group["lr"] for group in groups for parameter in group["params"]}
    assert rates[modules["backbone"].norm.weight] == 0.5
    assert rates[modules["backbone"].blocks[0].attn.qkv.weight] == 0.5 * 0.5**3
    assert rates[modules["dino_head"].mlp[0].weight] == 1.0
    assert rates[modules["dino_head"].last_layer.weight_v] == 0.25
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.1}


def test_a_backbone_at_rate_zero_stays_whatever_the_decay() -> None:
    modules = {"backbone": nn.Linear(2, 2), "dino_head": nn.Linear(2, 2)}
    modules["backbone"].blocks = nn.ModuleList([nn.Identity()])
    optimizer = torch.optim.AdamW(param_groups(modules), lr=0.0)
    set_hyperparameters(optimizer, lr=0.1, weight_decay=0.5, last_layer_lr=0.1, backbone_lr=0.0)
    before = {name: module.weight.clone() for name, module in modules.items()}
    modules["dino_head"](modules["backbone"](torch.ones(1, 2))).sum().backward()
    optimizer.step()
    assert torch.equal(modules["backbone"].weight, before["backbone"])
    assert not torch.equal(modules["dino_head"].weight, before["dino_head"])


def test_fixed_gains_are_in_no_group() -> None:
    module = head()
    module.last_layer.weight_g.requires_grad_(requires_grad=False)
    learning = [p for group in param_groups({"dino_head": module}) for p in group["params"]]
    assert len(learning) == len(list(module.parameters())) - 1
    assert all(parameter is not module.last_layer.weight_g for parameter in learning)


def test_each_sub_module_is_clipped_by_itself() -> None:
    modules = {name: nn.Linear(2, 1, bias=False) for name in ("backbone", "dino_head")}
    modules["backbone"].weight.grad = torch.tensor([[3.0, 4.0]])
    modules["dino_head"].weight.grad = torch.tensor([[0.6, 0.8]])
    norms = clip_gradients(modules, max_norm=2.5)
    assert {k: v.item() for k, v in norms.items()} == pytest.approx(
        {"backbone": 5.0, "dino_head": 1.0}
    )
    torch.testing.assert_close(modules["backbone"].weight.grad, torch.tensor([[1.5, 2.0]]))
    torch.testing.assert_close(modules["dino_head"].weight.grad, torch.tensor([[0.6, 0.8]]))
    assert clip_gradients(modules, max_norm=0)["backbone"].item() == pytest.approx(2.5)
    torch.testing.assert_close(modules["backbone"].weight.grad, torch.tensor([[1.5, 2.0]]))
