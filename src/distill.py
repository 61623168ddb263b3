"""Distil a frozen teacher into a smaller backbone (DINOv2 paper, section 5).

python src/distill.py --manifest results/manifest/lvd.parquet
    --teacher results/adapt/main/backbone.safetensors
    --teacher-heads results/adapt/main/heads.safetensors
    --out results/distill/main/backbone.safetensors
    --heads results/distill/main/heads.safetensors
    --log results/distill/main/log.parquet --checkpoints checkpoints/distill/main
"""

from pathlib import Path

from sauropod import cli
from sauropod.models.head import build_heads
from sauropod.models.vit import build_vit
from sauropod.models.weights import load_backbone, load_heads
from sauropod.train import sharding
from sauropod.train.config import Distill, Speed
from sauropod.train.self_distillation import SelfDistillation, make_student
from sauropod.train.session import Session, check_same_patches


def main(
    manifest: Path,
    teacher: Path,
    teacher_heads: Path,
    out: Path,
    heads: Path,
    log: Path,
    checkpoints: Path,
    knobs: cli.Knobs[Distill],
    speed: cli.Knobs[Speed],
) -> None:
    """Distil; SIGTERM or SIGUSR1 ends with a checkpoint and exit code 75.

    The teacher and its heads stay as they are, there are no masks, iBOT covers every patch of the
    global crops, and the result is a moving average of the student.

    Args:
        manifest: Training set (table MANIFEST).
        teacher: Backbone of the teacher.
        teacher_heads: Its projection heads; the student's have the same shape.
        out: Backbone to write (safetensors); facts about the run go into a .json beside it.
        heads: Projection heads of the student to write (safetensors).
        log: Training log to write (Parquet).
        checkpoints: Folder of checkpoints, one inside per knobs and inputs; an interrupted run
            resumes from its own.
        knobs: The student and how to train it.
        speed: Where and how fast.
    """
    session = Session(
        stage="distill",
        knobs=knobs,
        speed=speed,
        manifest=manifest,
        weights=(teacher, teacher_heads),
    )
    with session.started():
        teacher_vit, teacher_arch = load_backbone(teacher)
        check_same_patches(teacher, teacher=teacher_arch, student=knobs.backbone)
        projections, shape = load_heads(teacher_heads)
        vit = build_vit(knobs.backbone, seed=knobs.seed)
        student = make_student(vit, build_heads(shape, embed_dim=vit.embed_dim, seed=knobs.seed))
        model = SelfDistillation(
            student,
            objective=knobs.objective,
            teacher=make_student(teacher_vit, projections),
            group=sharding.group(),
        )
        fitted = session.train(model, patch_size=teacher_arch.patch_size, checkpoints=checkpoints)
        session.save(model, fitted, backbone=(out, knobs.backbone), heads=(heads, shape), log=log)


if __name__ == "__main__":
    cli.run(main)
