"""Optimiser groups of DINOv2: who learns how fast, who decays, who is clipped together."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import Parameter

_HEAD_LAST_LAYER = "last_layer."


def multipliers(
    name: str, *, depth: int, layerwise_decay: float, patch_embed_lr: float
) -> tuple[float, float, bool]:
    """Learning-rate factor, weight-decay factor and whether it is a head's last layer.

    Args:
        name: Parameter name inside a backbone or a head.
        depth: Blocks of the backbone; 0 for a head, where layers do not decay.
        layerwise_decay: Factor per layer counted from the end: the final norm has 1, block i
            decay^(depth - i), embeddings and tokens decay^(depth + 1).
        patch_embed_lr: Further factor of the patch embedding.
    """
    layer = depth + 1
    if depth and (block := re.match(r"blocks\.(\d+)\.", name)):
        layer = int(block[1]) + 1
    elif depth and name.startswith(
        ("cls_token", "pos_embed", "mask_token", "register_tokens", "patch_embed")
    ):
        layer = 0
    lr = layerwise_decay ** (depth + 1 - layer)
    if name.startswith("patch_embed"):
        lr *= patch_embed_lr
    undecayed = name.endswith(".bias") or "norm" in name or "gamma" in name
    return lr, 0.0 if undecayed else 1.0, name.startswith(_HEAD_LAST_LAYER)


def param_groups(
    student: Mapping[str, nn.Module] | nn.ModuleDict,
    *,
    layerwise_decay: float = 1.0,
    patch_embed_lr: float = 1.0,
) -> list[dict[str, object]]:
    """Optimiser groups of a student, one per distinct set of multipliers.

    Args:
        student: Sub-modules by name: the backbone (the one with `blocks`) and its heads.
        layerwise_decay: See `multipliers`.
        patch_embed_lr: See `multipliers`.

    Returns:
        Groups for a torch optimiser with the keys `params`, `schedule`, `lr_multiplier` and
        `wd_multiplier`; `set_hyperparameters` turns them into values. Parameters that do not
        require gradients (fixed gains) are in none.
    """
    fused: dict[tuple[str, float, float], list[Parameter]] = {}
    for module in student.values():
        depth = len(getattr(module, "blocks", ()))
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            lr, wd, is_last = multipliers(
                name, depth=depth, layerwise_decay=layerwise_decay, patch_embed_lr=patch_embed_lr
            )
            schedule = "last_layer_lr" if is_last else "backbone_lr" if depth else "lr"
            fused.setdefault((schedule, lr, wd), []).append(parameter)
    return [
        {"params": params, "schedule": schedule, "lr_multiplier": lr, "wd_multiplier": wd}
        for (schedule, lr, wd), params in fused.items()
    ]


def set_hyperparameters(
    optimizer: torch.optim.Optimizer,
    *,
    lr: float,
    backbone_lr: float,
    last_layer_lr: float,
    weight_decay: float,
) -> None:
    """Write this step's learning rates and weight decay into groups made by `param_groups`.

    Args:
        optimizer: AdamW, whose decay is a share of the learning rate: at 0 nothing moves.
        lr: Of the heads.
        backbone_lr: Of the backbone.
        last_layer_lr: Of the prototypes.
        weight_decay: Of everything that decays.
    """
    rates = {"lr": lr, "backbone_lr": backbone_lr, "last_layer_lr": last_layer_lr}
    for group in optimizer.param_groups:
        group["lr"] = rates[group["schedule"]] * group["lr_multiplier"]
        group["weight_decay"] = weight_decay * group["wd_multiplier"]


def clip_gradients(
    student: Mapping[str, nn.Module] | nn.ModuleDict, *, max_norm: float
) -> dict[str, Tensor]:
    """Clip the gradient norm of each sub-module by itself, as the reference does.

    Args:
        student: Sub-modules by name.
        max_norm: Largest L2 norm; 0 only measures.

    Returns:
        Norm before clipping per sub-module, scalar tensors on the device (no synchronisation).
    """
    norms = {}
    for name, module in student.items():
        limit = max_norm or float("inf")
        norms[name] = nn.utils.clip_grad_norm_(module.parameters(), limit)
    return norms
