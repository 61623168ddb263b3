"""Pretrain a backbone on a manifest by self-distillation (DINO + iBOT + KoLeo).

    python src/pretrain.py --manifest results/manifest/lvd.parquet
        --out results/pretrain/main/backbone.safetensors
        --heads results/pretrain/main/heads.safetensors
        --log results/pretrain/main/log.parquet --checkpoints checkpoints/pretrain/main

On several devices: `torchrun --standalone --nproc-per-node=gpu src/pretrain.py ...`.
"""

from pathlib import Path

from sauropod import cli
from sauropod.models.head import build_heads
from sauropod.models.vit import build_vit
from sauropod.models.weights import load_backbone
from sauropod.train import sharding
from sauropod.train.config import Pretrain, Speed
from sauropod.train.self_distillation import SelfDistillation
from sauropod.train.session import Session
from sauropod.train.student import make_student


def main(
    manifest: Path,
    out: Path,
    heads: Path,
    log: Path,
    checkpoints: Path,
    knobs: cli.Knobs[Pretrain],
    speed: cli.Knobs[Speed],
    init: Path | None = None,
) -> None:
    """Pretrain a backbone; SIGTERM or SIGUSR1 ends with a checkpoint and exit code 75.

    Args:
        manifest: Training set (table MANIFEST).
        out: Backbone to write (safetensors); facts about the run go into a .json beside it.
        heads: Projection heads to write (safetensors).
        log: Training log to write (Parquet).
        checkpoints: Folder of checkpoints, one inside per knobs and inputs; an interrupted run
            resumes from its own.
        knobs: What is trained and how.
        speed: Where and how fast.
        init: Backbone to start from instead of random weights.
    """
    inputs = () if init is None else (init,)
    session = Session(stage="pretrain", knobs=knobs, speed=speed, manifest=manifest, weights=inputs)
    with session.started():
        if init is None:
            vit = build_vit(knobs.backbone, seed=knobs.seed)
        else:
            vit, _ = load_backbone(init, expect=knobs.backbone)
        projections = build_heads(knobs.heads, embed_dim=vit.embed_dim, seed=knobs.seed)
        model = SelfDistillation(
            make_student(vit, projections),
            objective=knobs.objective,
            group=sharding.group(),
            max_bytes=session.max_bytes,
        )
        fitted = session.train(model, patch_size=knobs.backbone.patch_size, checkpoints=checkpoints)
        session.save(
            model.teacher, fitted, backbone=(out, knobs.backbone), heads=(heads, knobs.heads)
        )
        session.save_log(fitted, log)


if __name__ == "__main__":
    cli.run(main)
