"""A side of train_step.py: our training loop, `train.fit.fit`, on the batches of a case."""

import torch

from case import Case
from sauropod.models.head import build_heads
from sauropod.models.vit import build_vit
from sauropod.train.config import Speed
from sauropod.train.data import Loaded
from sauropod.train.fit import Running, fit
from sauropod.train.recipe import schedules
from sauropod.train.self_distillation import SelfDistillation
from sauropod.train.student import make_student
from turns import Metronome


def train(
    metronome: Metronome,
    case: Case,
    arch: str,
    *,
    device: torch.device,
    steps: int,
    precision: str,
    speed: Speed,
) -> dict[str, float]:
    """Train for `steps` steps; returns mean losses by name and the student's parameter count."""
    vit = build_vit(case.backbone(arch), attention=speed.attention)
    heads = build_heads(case.heads, embed_dim=vit.embed_dim)
    model = SelfDistillation(
        make_student(vit, heads), objective=case.objective, max_bytes=speed.scores_mib << 20
    ).to(device)
    for backbone in (model.student["backbone"], model.teacher["backbone"]):
        backbone.recompute = speed.recompute
        if speed.compile:
            backbone.compile_blocks()
    optim = case.optim(steps=steps, precision=precision)
    fitted = fit(
        model,
        load=lambda step: Loaded((metronome(step),), num_images=case.batch_size),
        optim=optim,
        schedules=schedules(optim, case.objective),
        seed=0,
        running=Running(device=device, log_every=steps),
    )
    (row,) = fitted.log.rows
    losses = {name: value for name, value in row.items() if name.startswith("loss")}
    return losses | {"num_parameters": sum(p.numel() for p in model.student.parameters())}
