"""Measure frozen features of a labelled set: k-NN, linear probe, logistic regression -> METRICS.

    python src/evaluate.py --model pretrained --benchmark objects --dataset data/objects \
        --features results/extract/pretrained.objects.safetensors \
        --out results/evaluate/pretrained.objects.parquet

With --chance-too True it also measures the most frequent class, under the name "chance".
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.errors import InputError
from sauropod.evaluate.classification import chance, measure
from sauropod.evaluate.config import Evaluate
from sauropod.evaluate.datasets.read import read_dataset
from sauropod.evaluate.features import load_features
from sauropod.evaluate.head_file import save_head
from sauropod.evaluate.measured import metrics_frame


def main(
    model: str,
    benchmark: str,
    dataset: Path,
    features: Path,
    out: Path,
    knobs: Knobs[Evaluate],
    layout: str = "image_folder",
    train: str = "train",
    test: str = "val",
    head: Path | None = None,
    chance_too: bool = False,
    device: str = "cpu",
) -> None:
    """Measure one model on one benchmark.

    Args:
        model: Name of the model in the table.
        benchmark: Name of the benchmark in the table; say the resolution when it is not the usual.
        dataset: Folder of the labelled set.
        features: What extract made of it.
        out: Parquet to write (METRICS).
        layout: How the set's files lie: image_folder, imagenet, voc2007, ...
        train: Folder of the training split of an image_folder.
        test: Folder of the split measured on of an image_folder.
        head: safetensors to write: the best linear head.
        chance_too: Also measure the most frequent class.
        device: cpu or cuda.
    """
    if head and "linear" not in knobs.protocols:
        flag, found = "--head", f"protocols {', '.join(knobs.protocols)}"
        fix = "add linear to the protocols"
        raise InputError(flag, expected="a linear probe to keep", found=found, fix=fix)
    listed = read_dataset(dataset, layout=layout, train=train, test=test)
    found = load_features(features, splits=listed.splits)
    rows, best = measure(found, dataset=listed, knobs=knobs, device=device)
    made_by = io.stamp("evaluate", knobs=knobs, inputs=[features, dataset])
    commit = made_by["commit"]
    frame = metrics_frame(rows, model=model, benchmark=benchmark, commit=commit)
    if chance_too:
        floor = metrics_frame(chance(listed), model="chance", benchmark=benchmark, commit=commit)
        frame = pl.concat([frame, floor])
    if head and best:
        save_head(best, head, classes=listed.classes, stamp=made_by)
    schema.write(frame, out, schema.METRICS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
