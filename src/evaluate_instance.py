"""Measure how well the features of one model find the same thing again -> METRICS.

    python src/evaluate_instance.py --backbone results/pretrain/vit/backbone.safetensors \
        --model pretrained --benchmark roxford --dataset data/roxford5k --layout revisited \
        --out results/evaluate/pretrained.roxford.parquet

Without --backbone and --random-like it measures the floor: a crude colour feature.
"""

from pathlib import Path

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.evaluate.config import Instance
from sauropod.evaluate.instance import embedder, measure, whole_view
from sauropod.evaluate.measured import metrics_frame
from sauropod.evaluate.subject import global_extractor, load_subject


def main(
    model: str,
    benchmark: str,
    dataset: Path,
    layout: str,
    out: Path,
    knobs: Knobs[Instance],
    backbone: Path | None = None,
    random_like: Path | None = None,
    device: str = "cpu",
    inference_batch: int = 64,
    num_threads: int = 2,
) -> None:
    """Measure one model on one benchmark.

    Args:
        model: Name of the model in the table.
        benchmark: Name of the benchmark in the table.
        dataset: The benchmark's folder.
        layout: How its files lie: revisited, met, amstertime, copydays, disc21 or groups.
        out: Parquet to write (METRICS).
        backbone: Weights to measure.
        random_like: Weights whose architecture is measured, randomly initialised.
        device: cpu or cuda.
        inference_batch: Images per forward pass.
        num_threads: Decoder threads; changes speed only.
    """
    vit = load_subject(backbone, random_like, seed=knobs.seed, device=device)
    extractor = global_extractor(vit, num_blocks=1, resize=knobs.resize, crop=knobs.crop)
    if vit and knobs.view == "whole":
        extractor = whole_view(extractor, side=knobs.crop)
    embed = embedder(extractor, batch_size=inference_batch, num_threads=num_threads, device=device)
    rows = measure(dataset, layout=layout, embed=embed, knobs=knobs)
    weights = [path for path in (backbone, random_like) if path]
    made_by = io.stamp("evaluate_instance", knobs=knobs, inputs=[*weights, dataset])
    frame = metrics_frame(rows, model=model, benchmark=benchmark, commit=made_by["commit"])
    schema.write(frame, out, schema.METRICS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
