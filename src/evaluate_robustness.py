"""Measure a benchmark's best linear head on shifted images of its classes -> METRICS.

    python src/evaluate_robustness.py --model pretrained --benchmark in_a --layout class_folders \
        --dataset data/imagenet-a --features results/extract/pretrained.in_a.safetensors \
        --head results/evaluate/pretrained.in1k.head.safetensors \
        --out results/evaluate/pretrained.in_a.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.evaluate.config import Robustness
from sauropod.evaluate.datasets.dataset import TEST
from sauropod.evaluate.datasets.read import read_dataset
from sauropod.evaluate.features import load_features
from sauropod.evaluate.head_file import load_head
from sauropod.evaluate.measured import metrics_frame
from sauropod.evaluate.robustness import measure


def main(
    model: str,
    benchmark: str,
    dataset: Path,
    features: Path,
    head: Path,
    out: Path,
    knobs: Knobs[Robustness],
    layout: str = "class_folders",
) -> None:
    """Measure one model's head on one set.

    Args:
        model: Name of the model in the table.
        benchmark: Name of the benchmark in the table.
        dataset: Folder of the shifted images.
        features: What extract made of them.
        head: Linear head that evaluate trained on features of the same model.
        out: Parquet to write (METRICS).
        layout: How the set's files lie: class_folders, imagenet_real or imagenet_c.
    """
    listed = read_dataset(dataset, layout=layout)
    found = load_features(features, splits=listed.splits)
    trained, known = load_head(head)
    rows = measure(found[TEST], dataset=listed, head=trained, known=known, where=dataset)
    made_by = io.stamp("evaluate_robustness", knobs=knobs, inputs=[features, head, dataset])
    frame = metrics_frame(rows, model=model, benchmark=benchmark, commit=made_by["commit"])
    schema.write(frame, out, schema.METRICS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
