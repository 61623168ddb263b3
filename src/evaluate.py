"""Measure a frozen backbone on a labelled image folder by k-NN and linear probe -> METRICS.

    python src/evaluate.py --backbone results/pretrain/vit/backbone.safetensors --model pretrain \
        --benchmark objects --dataset data/objects --out results/evaluate/pretrain-objects.parquet

Without --backbone and --random-like it measures the floors: a crude colour feature under the name
of --model, and the most frequent class under the name "chance".
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Evaluate
from sauropod.errors import InputError
from sauropod.evaluate.backbone import backbone_extractor
from sauropod.evaluate.classification import chance, measure, metrics_frame
from sauropod.evaluate.colour import colour_extractor
from sauropod.evaluate.datasets import read_image_folder
from sauropod.models.vit import build_vit
from sauropod.models.weights import load_backbone


def main(
    model: str,
    benchmark: str,
    dataset: Path,
    out: Path,
    knobs: Knobs[Evaluate],
    backbone: Path | None = None,
    random_like: Path | None = None,
    train: str = "train",
    test: str = "val",
    device: str = "cpu",
    inference_batch: int = 64,
    num_threads: int = 2,
) -> None:
    """Measure one model on one benchmark.

    Args:
        model: Name of the model in the table.
        benchmark: Name of the benchmark in the table; say the resolution when it is not the usual.
        dataset: Folder laid out as {train,val}/<class>/<image>.
        out: Parquet to write (METRICS).
        backbone: Weights to measure.
        random_like: Weights whose architecture is measured, randomly initialised.
        train: Folder of the training split.
        test: Folder of the split measured on.
        device: cpu or cuda.
        inference_batch: Images per forward pass.
        num_threads: Decoder threads; changes speed only.
    """
    if backbone and random_like:
        flag, found = "--random-like", "--backbone too"
        raise InputError(flag, expected="one model", found=found, fix="give one of them")
    folder = read_image_folder(dataset, train=train, val=test)
    num_blocks = knobs.num_blocks
    if weights := backbone or random_like:
        vit, architecture = load_backbone(weights)
        if random_like:
            vit = build_vit(architecture, seed=knobs.seed)
        extractor = backbone_extractor(
            vit.to(device).eval(),
            num_blocks=max(num_blocks),
            resize=knobs.resize,
            crop=knobs.crop,
        )
    else:
        extractor, num_blocks = colour_extractor(), (1,)
    rows = measure(
        extractor,
        dataset=folder,
        num_blocks=num_blocks,
        knobs=knobs,
        batch_size=inference_batch,
        num_threads=num_threads,
        device=device,
    )
    made_by = io.stamp("evaluate", knobs=knobs, inputs=[*([weights] if weights else []), dataset])
    commit = made_by["commit"]
    frame = metrics_frame(rows, model=model, benchmark=benchmark, commit=commit)
    if not weights:
        floor = metrics_frame(chance(folder), model="chance", benchmark=benchmark, commit=commit)
        frame = pl.concat([frame, floor])
    schema.write(frame, out, schema.METRICS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
