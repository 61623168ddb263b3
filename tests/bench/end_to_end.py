"""Measure training from JPEGs in tars: decode, crops, masks, steps; ours alone.

python tests/bench/end_to_end.py                             # prints rows for RECORDS.md
python tests/bench/end_to_end.py --case.batch-size 256 --speed.num-workers 14 --precision bf16

Photos are rendered into a tar first. What the log of a training says is printed row by row; the
first row holds warm-up (and compilation) and does not count.
"""

import logging
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import torch

import our_step
from case import Case
from loader import pack, photo
from sauropod import cli
from sauropod.io import commit
from sauropod.models.flops import peak_flops, step_flops
from sauropod.train.config import Speed
from sauropod.train.data import Samples
from sauropod.train.multicrop import MultiCrop
from train_step import describe, machine
from turns import spread


def main(
    case: Case,
    speed: Speed,
    arch: str = "vit_small",
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    engine: Literal["pillow", "cv2", "tensor"] = "cv2",
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    photos: int = 512,
    repeats: int = 5,
    turn: int = 0,
) -> None:
    """Print one row.

    Args:
        case: What is trained.
        speed: How it is run; batch size and workers matter most.
        arch: Architecture.
        precision: Arithmetic of forward and backward.
        engine: Of the augmentation.
        device: cpu or cuda.
        photos: JPEGs of 500 x 375 to render.
        repeats: Rows of the log that count.
        turn: Steps per row; 0 is 1 on a CPU, 20 on CUDA.
    """
    logging.disable(logging.INFO)
    turn = turn or (20 if device == "cuda" else 1)
    with tempfile.TemporaryDirectory() as folder:
        rows = pack(Path(folder), [photo(seed) for seed in range(photos)])
        crops = MultiCrop(
            Samples(rows, seed=0, cache=speed.cache),
            crops=case.crops(engine),
            objective=case.objective,
            patch_size=case.patch_size,
            batch_size=case.batch_size,
            seed=0,
        )
        fitted = our_step.train(
            our_step.pretraining(case, arch, speed=speed, device=torch.device(device)),
            case,
            load=crops,
            steps=turn * (1 + repeats),
            precision=precision,
            device=torch.device(device),
            log_every=turn,
            num_workers=speed.num_workers,
            flops_per_image=step_flops(
                [case.backbone(arch)], case.heads, case.crops(engine), objective=case.objective
            ),
            peak_flops=peak_flops(machine(device), precision),
        )
    print(f"commit {commit()}; {machine(device)}; torch {torch.__version__}")
    print(f"{arch}, {describe(case)}, {precision}, {engine}, {speed.num_workers} workers")
    print(f"n={repeats} rows of {turn} step(s)\n\n| column | median [min, max] |\n|---|---|")
    counted = fitted.log.rows[1:]
    for name in ("images_per_s", "wait_share", "mfu", "peak_memory_gib"):
        values = [row[name] for row in counted if row.get(name) is not None]
        print(f"| {name} | {spread(values, digits=3) if values else 'unknown'} |")
    print(f"| mean images/s | {statistics.fmean(row['images_per_s'] for row in counted):.1f} |")


if __name__ == "__main__":
    cli.run(main)
