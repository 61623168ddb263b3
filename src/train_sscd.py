"""Train the copy-detection descriptor (SSCD) on images without labels.

    python src/train_sscd.py --images results/screen/crawl-00000.parquet \\
        --out results/train_sscd/sscd.safetensors --log results/train_sscd/log.parquet \\
        --checkpoints checkpoints/train_sscd
"""

from pathlib import Path

from sauropod import cli, io
from sauropod.cli import Knobs
from sauropod.models import sscd_files
from sauropod.train import sharding, sscd
from sauropod.train.config import Speed, TrainSscd
from sauropod.train.fit import Running


def main(
    images: tuple[Path, ...],
    out: Path,
    log: Path,
    checkpoints: Path,
    knobs: Knobs[TrainSscd],
    speed: Knobs[Speed],
) -> None:
    """Train a descriptor network; SIGTERM or SIGUSR1 ends with a checkpoint and exit code 75.

    Args:
        images: Tables of images (IMAGES); those with status ok are learnt from.
        out: Weights to write (safetensors); facts about the run go into a .json beside it.
        log: Training log to write (Parquet).
        checkpoints: Folder of checkpoints, one inside per knobs and inputs; an interrupted run
            resumes from its own.
        knobs: What is trained and how.
        speed: Where and how fast.
    """
    place = sharding.ranks()
    sscd.check_alone(place)
    rows = sscd.read_rows(images)
    run = sscd.fingerprint(images, knobs=knobs)
    running = Running(
        device=sharding.pick_device(speed.device, place),
        checkpoints=checkpoints / run,
        checkpoint_every=speed.checkpoint_every,
        log_every=speed.log_every,
        num_workers=speed.num_workers,
        fingerprint=run,
        label="train_sscd",
    )
    model, fitted = sscd.train(rows, knobs=knobs, running=running, cache=speed.cache)
    fitted.log.save(log)
    made_by = io.stamp("train_sscd", knobs=knobs, inputs=images)
    facts = {**made_by, "images": len(rows), "steps": knobs.steps, "skipped": fitted.skipped}
    io.write_json(facts, out.with_suffix(".json"))
    sscd_files.save(model, out)


if __name__ == "__main__":
    cli.run(main)
