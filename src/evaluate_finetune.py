"""Fine-tune a backbone, or train linear heads on its random crops, and measure it -> METRICS.

    python src/evaluate_finetune.py --model pretrained --benchmark tuned --dataset data/objects \
        --backbone results/pretrain/main/backbone.safetensors --out results/evaluate/x.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.errors import InputError
from sauropod.evaluate.config import Finetune
from sauropod.evaluate.datasets.read import read_dataset
from sauropod.evaluate.finetune import measure
from sauropod.evaluate.measured import metrics_frame
from sauropod.evaluate.subject import load_subject


def main(
    model: str,
    benchmark: str,
    dataset: Path,
    out: Path,
    knobs: Knobs[Finetune],
    layout: str = "image_folder",
    train: str = "train",
    test: str = "val",
    backbone: Path | None = None,
    random_like: Path | None = None,
    device: str = "cpu",
    inference_batch: int = 64,
    num_threads: int = 2,
) -> None:
    """Train and measure one model on one benchmark.

    Args:
        model: Name of the model in the table.
        benchmark: Name of the benchmark in the table.
        dataset: Folder of the labelled set.
        out: Parquet to write (METRICS).
        layout: How the set's files lie: image_folder, imagenet, voc2007, ...
        train: Folder of the training split of an image_folder.
        test: Folder of the split measured on of an image_folder.
        backbone: Weights to begin with.
        random_like: Weights whose architecture is trained from scratch.
        device: cpu or cuda.
        inference_batch: Images per forward pass of the test.
        num_threads: Decoder threads; changes speed only.
    """
    listed = read_dataset(dataset, layout=layout, train=train, test=test)
    vit = load_subject(backbone, random_like, seed=knobs.seed, device=device)
    if vit is None:
        flag, fix = "--backbone", "name a backbone"
        raise InputError(flag, expected="weights to train", found="none", fix=fix)
    rows = measure(
        vit,
        dataset=listed,
        knobs=knobs,
        device=device,
        inference_batch=inference_batch,
        num_threads=num_threads,
    )
    weights = [path for path in (backbone, random_like) if path]
    made_by = io.stamp("evaluate_finetune", knobs=knobs, inputs=[*weights, dataset])
    frame = metrics_frame(rows, model=model, benchmark=benchmark, commit=made_by["commit"])
    schema.write(frame, out, schema.METRICS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
