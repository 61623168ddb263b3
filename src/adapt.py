"""Adapt a pretrained backbone to a higher resolution (DINOv2 paper, section 5).

python src/adapt.py --manifest results/manifest/lvd.parquet
    --backbone results/pretrain/main/backbone.safetensors
    --heads results/pretrain/main/heads.safetensors
    --out results/adapt/main/backbone.safetensors
    --out-heads results/adapt/main/heads.safetensors
    --log results/adapt/main/log.parquet --checkpoints checkpoints/adapt/main
"""

import dataclasses
from pathlib import Path

from sauropod import cli
from sauropod.models.weights import load_backbone, load_heads, resize_pos_embed
from sauropod.train import sharding
from sauropod.train.config import Adapt, Speed
from sauropod.train.self_distillation import SelfDistillation
from sauropod.train.session import Session
from sauropod.train.student import make_student


def main(
    manifest: Path,
    backbone: Path,
    heads: Path,
    out: Path,
    out_heads: Path,
    log: Path,
    checkpoints: Path,
    knobs: cli.Knobs[Adapt],
    speed: cli.Knobs[Speed],
    probe: tuple[Path, ...] = (),
) -> None:
    """Train on at a higher resolution; SIGTERM or SIGUSR1 ends with a checkpoint and code 75.

    Position embeddings are resized once, to the grid of the new global crops; the heads go on.

    Args:
        manifest: Training set (table MANIFEST).
        backbone: Pretrained backbone.
        heads: Its projection heads.
        out: Backbone to write (safetensors); facts about the run go into a .json beside it.
        out_heads: Projection heads to write (safetensors).
        log: Training log to write (Parquet).
        checkpoints: Folder of checkpoints, one inside per knobs and inputs; an interrupted run
            resumes from its own.
        knobs: How to train.
        speed: Where and how fast.
        probe: Labelled image folders, each {train,val}/<class>/<image>, that k-NN is measured on
            every `probe_every` steps.
    """
    session = Session(
        stage="adapt",
        knobs=knobs,
        speed=speed,
        manifest=manifest,
        weights=(backbone, heads),
        probes=probe,
    )
    with session.started():
        vit, arch = load_backbone(backbone)
        arch = dataclasses.replace(arch, drop_path=knobs.drop_path)
        vit, arch = resize_pos_embed(vit, knobs=arch, image_size=knobs.crops.global_size)
        projections, shape = load_heads(heads)
        model = SelfDistillation(
            make_student(vit, projections),
            objective=knobs.objective,
            group=sharding.group(),
            max_bytes=session.max_bytes,
        )
        fitted = session.train(model, students=[arch], heads=shape, checkpoints=checkpoints)
        session.save(model.teacher, fitted, backbone=(out, arch), heads=(out_heads, shape))
        session.save_log(fitted, log)


if __name__ == "__main__":
    cli.run(main)
