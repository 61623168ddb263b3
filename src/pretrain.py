"""Pretrain a backbone on a manifest by self-distillation (DINO + iBOT + KoLeo).

    python src/pretrain.py --config config/presets/tiny_cpu.yaml --manifest manifest.parquet
        --out results/pretrain/main/backbone.safetensors

From a released backbone, with fresh heads that learn alone at first: `--init dinov2_vits14.pth
--optim.head-warmup-steps 1000`. On several devices:

    torchrun --standalone --nproc-per-node=gpu -- src/pretrain.py ...
"""

from pathlib import Path

from sauropod import cli
from sauropod.train import sharding
from sauropod.train.config import Pretrain, Speed
from sauropod.train.self_distillation import SelfDistillation
from sauropod.train.session import Session, initial
from sauropod.train.student import make_student


def main(
    manifest: Path,
    out: Path,
    knobs: cli.Knobs[Pretrain],
    speed: cli.Knobs[Speed],
    heads: Path | None = None,
    log: Path | None = None,
    checkpoints: Path | None = None,
    probe: tuple[Path, ...] = (),
    init: Path | None = None,
    init_heads: Path | None = None,
) -> None:
    """Pretrain a backbone; SIGTERM or SIGUSR1 ends with a checkpoint and exit code 75.

    Args:
        manifest: Training set (table MANIFEST).
        out: Backbone to write (safetensors); facts about the run go into a .json beside it.
        knobs: What is trained and how.
        speed: Where and how fast.
        heads: Projection heads to write; heads.safetensors beside `out` unless named.
        log: Training log to write; log.parquet beside `out` unless named.
        checkpoints: Folder of checkpoints, one inside per knobs and inputs, that an interrupted run
            resumes from; `checkpoints` beside `out` unless named.
        probe: Labelled image folders, each {train,val}/<class>/<image>, that k-NN is measured on
            every `probe_every` steps.
        init: Backbone to start from instead of random weights: ours, Meta's, Hugging Face's or
            timm's; its position embeddings are resized to the knobs' grid.
        init_heads: Projection heads to start from, ours, instead of random weights.
    """
    inputs = tuple(path for path in (init, init_heads) if path is not None)
    session = Session(
        stage="pretrain",
        knobs=knobs,
        speed=speed,
        manifest=manifest,
        weights=inputs,
        probes=probe,
    )
    with session.started():
        vit, projections = initial(knobs, backbone=init, heads=init_heads)
        model = SelfDistillation(
            make_student(vit, projections),
            objective=knobs.objective,
            group=sharding.group(),
            max_bytes=session.max_bytes,
        )
        fitted = session.train(
            model,
            students=[knobs.backbone],
            heads=knobs.heads,
            checkpoints=checkpoints or out.with_name("checkpoints"),
        )
        session.save(
            model.teacher,
            fitted,
            backbone=(out, knobs.backbone),
            heads=(heads or out.with_name("heads.safetensors"), knobs.heads),
        )
        session.save_log(fitted, log or out.with_name("log.parquet"))


if __name__ == "__main__":
    cli.run(main)
