"""Train segmentation heads on a frozen backbone and measure them -> METRICS and the heads.

    python src/evaluate_segmentation.py --backbone results/pretrain/main/backbone.safetensors \
        --model pretrained --benchmark ade20k --dataset data/ade20k --layout ade20k \
        --head results/evaluate/pretrained.ade20k.head.safetensors \
        --out results/evaluate/pretrained.ade20k.parquet

Without --backbone and --random-like it measures the floor: heads on the colours of patches. With
--chance-too True it also measures the most frequent class, under the name "chance".
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.evaluate.dense.config import Segmentation
from sauropod.evaluate.dense.head_file import save_segmentation
from sauropod.evaluate.dense.patch_maps import last_blocks
from sauropod.evaluate.dense.segmentation import constant, measure
from sauropod.evaluate.dense.segmentation_sets import Layout, read_segmentation
from sauropod.evaluate.measured import metrics_frame
from sauropod.evaluate.subject import load_subject


def main(
    model: str,
    benchmark: str,
    dataset: Path,
    layout: Layout,
    head: Path,
    out: Path,
    knobs: Knobs[Segmentation],
    backbone: Path | None = None,
    random_like: Path | None = None,
    chance_too: bool = False,
    device: str = "cpu",
    inference_batch: int = 8,
    num_threads: int = 2,
) -> None:
    """Measure one model on one benchmark.

    Args:
        model: Name of the model in the table.
        benchmark: Name of the benchmark in the table.
        dataset: Folder of images and label maps.
        layout: How its files lie.
        head: safetensors to write: the trained heads.
        out: Parquet to write (METRICS).
        backbone: Weights to measure.
        random_like: Weights whose architecture is measured, randomly initialised.
        chance_too: Also measure the most frequent class.
        device: cpu or cuda.
        inference_batch: Windows per forward pass when testing; changes speed only.
        num_threads: Decoder threads; changes speed only.
    """
    listed = read_segmentation(dataset, layout=layout)
    vit = load_subject(backbone, random_like, seed=knobs.seed, device=device)
    rows, trained = measure(
        last_blocks(vit, floor_patch=knobs.floor_patch),
        dataset=listed,
        knobs=knobs,
        batch_size=inference_batch,
        num_threads=num_threads,
        device=device,
    )
    inputs = [path for path in (backbone, random_like, dataset) if path]
    made_by = io.stamp("evaluate_segmentation", knobs=knobs, inputs=inputs)
    commit = made_by["commit"]
    frame = metrics_frame(rows, model=model, benchmark=benchmark, commit=commit)
    if chance_too:
        floor = constant(listed, heads=knobs.heads, num_threads=num_threads)
        chance = metrics_frame(floor, model="chance", benchmark=benchmark, commit=commit)
        frame = pl.concat([frame, chance])
    save_segmentation(trained, head, classes=listed.classes, knobs=knobs, stamp=made_by)
    schema.write(frame, out, schema.METRICS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
