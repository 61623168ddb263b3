"""Distil a frozen teacher into one or several smaller backbones (DINOv2 paper, section 5).

python src/distill.py --manifest results/manifest/lvd.parquet
    --teacher results/adapt/main/backbone.safetensors
    --teacher-heads results/adapt/main/heads.safetensors
    --students vit_small vit_base
    --out results/distill/vit_{small,base}/backbone.safetensors
    --heads results/distill/vit_{small,base}/heads.safetensors
    --log results/distill/main/log.parquet --checkpoints checkpoints/distill/main
"""

from pathlib import Path

from sauropod import cli
from sauropod.models.head import build_heads
from sauropod.models.vit import build_vit
from sauropod.models.weights import load_backbone, load_heads
from sauropod.train import sharding
from sauropod.train.config import Distill, Speed
from sauropod.train.distillation import Distillation
from sauropod.train.session import Session, check_one_each, check_same_patches, students_of
from sauropod.train.student import make_student


def main(
    manifest: Path,
    teacher: Path,
    teacher_heads: Path,
    out: tuple[Path, ...],
    heads: tuple[Path, ...],
    log: Path,
    checkpoints: Path,
    knobs: cli.Knobs[Distill],
    speed: cli.Knobs[Speed],
    probe: tuple[Path, ...] = (),
) -> None:
    """Distil; SIGTERM or SIGUSR1 ends with a checkpoint and exit code 75.

    The teacher and its heads stay as they are, there are no masks, iBOT covers every patch of the
    global crops, and the result is a moving average of each student. Students share the teacher's
    forward pass.

    Args:
        manifest: Training set (table MANIFEST).
        teacher: Backbone of the teacher.
        teacher_heads: Its projection heads; the students' have the same shape.
        out: Backbones to write (safetensors), one per student in the order of `students`; facts
            about the run go into a .json beside each.
        heads: Projection heads to write (safetensors), one per student.
        log: Training log to write (Parquet).
        checkpoints: Folder of checkpoints, one inside per knobs and inputs; an interrupted run
            resumes from its own.
        knobs: The students and how to train them.
        speed: Where and how fast.
        probe: Labelled image folders, each {train,val}/<class>/<image>, that k-NN is measured on
            every `probe_every` steps.
    """
    session = Session(
        stage="distill",
        knobs=knobs,
        speed=speed,
        manifest=manifest,
        weights=(teacher, teacher_heads),
        probes=probe,
    )
    archs = students_of(knobs)
    check_one_each(archs, out=out, heads=heads)
    with session.started():
        teacher_vit, teacher_arch = load_backbone(teacher)
        check_same_patches(teacher, teacher=teacher_arch, student=knobs.backbone)
        projections, shape = load_heads(teacher_heads)
        students = {}
        for name, arch in archs.items():
            vit = build_vit(arch, seed=knobs.seed)
            student_heads = build_heads(shape, embed_dim=vit.embed_dim, seed=knobs.seed)
            students[name] = make_student(vit, student_heads)
        model = Distillation(
            students,
            teacher=make_student(teacher_vit, projections),
            objective=knobs.objective,
            group=sharding.group(),
            max_bytes=session.max_bytes,
        )
        fitted = session.train(
            model,
            students=list(archs.values()),
            heads=shape,
            teacher=teacher_arch,
            checkpoints=checkpoints,
        )
        for (name, arch), *paths in zip(archs.items(), out, heads, strict=True):
            average = model.average(name)
            session.save(average, fitted, backbone=(paths[0], arch), heads=(paths[1], shape))
        session.save_log(fitted, log)


if __name__ == "__main__":
    cli.run(main)
