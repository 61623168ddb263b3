"""Our side of the training benchmarks: the loop of every stage, `train.fit.fit`, as it is."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from case import Case
from sauropod.models.head import build_heads
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train.config import Speed
from sauropod.train.data import Loaded
from sauropod.train.distillation import Distillation
from sauropod.train.fit import Fitted, Running, fit
from sauropod.train.host_memory import keep_freed_memory
from sauropod.train.recipe import schedules
from sauropod.train.self_distillation import SelfDistillation
from sauropod.train.student import make_student

Trained = TypeVar("Trained", SelfDistillation, Distillation)


def pretraining(case: Case, arch: str, *, speed: Speed, device: torch.device) -> SelfDistillation:
    """Student and teacher of a case, ready to train."""
    model = SelfDistillation(
        networks(case, arch), objective=case.objective, max_bytes=speed.scores_mib << 20
    )
    return prepared(model, speed=speed, device=device)


def networks(case: Case, arch: str) -> nn.ModuleDict:
    """Backbone and heads with drawn weights."""
    vit = build_vit(case.backbone(arch))
    return make_student(vit, build_heads(case.heads, embed_dim=vit.embed_dim))


def prepared(model: Trained, *, speed: Speed, device: torch.device) -> Trained:
    """The model on its device, run as `speed` says."""
    if device.type == "cpu":
        keep_freed_memory()
    for module in (model, *model.networks):
        module.to(device)
    for network in model.networks:
        if isinstance(network, VisionTransformer):
            network.run_by(speed.attention, recompute=speed.recompute)
            if speed.compile:
                network.compile_blocks()
    return model


def train(
    model: Trained,
    case: Case,
    *,
    load: Callable[[int], Any],
    steps: int,
    precision: Literal["fp32", "bf16", "fp16"],
    device: torch.device,
    **running: Any,  # noqa: ANN401 - further fields of Running
) -> Fitted:
    """Train for `steps` steps on batches from `load(step)`."""
    optim = case.optim(steps=steps, precision=precision)

    def loaded(step: int) -> Loaded:
        batch = load(step)
        return batch if isinstance(batch, Loaded) else Loaded((batch,), num_images=case.batch_size)

    return fit(
        model,
        load=loaded,
        optim=optim,
        schedules=schedules(optim, case.objective),
        seed=0,
        running=Running(device=device, **{"log_every": steps, **running}),
    )
