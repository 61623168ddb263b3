"""Train depth heads on a frozen backbone and measure them -> METRICS and the heads.

    python src/evaluate_depth.py --backbone results/pretrain/main/backbone.safetensors \
        --model pretrained --benchmark nyu --dataset data/nyu --layout nyu \
        --transfer data/sun_rgbd --head results/evaluate/pretrained.nyu.head.safetensors \
        --out results/evaluate/pretrained.nyu.parquet

Without --backbone and --random-like it measures the floor: heads on the colours of patches. With
--chance-too True it also measures the mean depth, under the name "chance".
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.evaluate.dense.config import Depth
from sauropod.evaluate.dense.depth import constant, measure
from sauropod.evaluate.dense.depth_sets import Layout, own_protocol, read_depth_set, read_sun_rgbd
from sauropod.evaluate.dense.head_file import save_depth
from sauropod.evaluate.dense.patch_maps import quarter_blocks
from sauropod.evaluate.measured import metrics_frame
from sauropod.evaluate.subject import load_subject


def main(
    model: str,
    benchmark: str,
    dataset: Path,
    layout: Layout,
    head: Path,
    out: Path,
    knobs: Knobs[Depth],
    backbone: Path | None = None,
    random_like: Path | None = None,
    transfer: Path | None = None,
    chance_too: bool = False,
    device: str = "cpu",
    num_threads: int = 2,
) -> None:
    """Measure one model on one benchmark.

    Args:
        model: Name of the model in the table.
        benchmark: Name of the benchmark in the table.
        dataset: Folder of images and depth maps.
        layout: How its files lie.
        head: safetensors to write: the trained heads.
        out: Parquet to write (METRICS).
        backbone: Weights to measure.
        random_like: Weights whose architecture is measured, randomly initialised.
        transfer: Folder of SUN RGB-D: the same heads are measured on it too.
        chance_too: Also measure the mean depth.
        device: cpu or cuda.
        num_threads: Decoder threads; changes speed only.
    """
    listed = read_depth_set(dataset, layout=layout, own=own_protocol(knobs))
    others = {"sun_rgbd": read_sun_rgbd(transfer)} if transfer else {}
    vit = load_subject(backbone, random_like, seed=knobs.seed, device=device)
    rows, trained = measure(
        quarter_blocks(vit, floor_patch=knobs.floor_patch),
        dataset=listed,
        knobs=knobs,
        num_threads=num_threads,
        device=device,
        transfers=others,
    )
    inputs = [path for path in (backbone, random_like, dataset, transfer) if path]
    made_by = io.stamp("evaluate_depth", knobs=knobs, inputs=inputs)
    commit = made_by["commit"]
    frame = metrics_frame(rows, model=model, benchmark=benchmark, commit=commit)
    if chance_too:
        floor = constant(listed, heads=knobs.heads, num_threads=num_threads)
        chance = metrics_frame(floor, model="chance", benchmark=benchmark, commit=commit)
        frame = pl.concat([frame, chance])
    save_depth(trained, head, protocol=listed.protocol, knobs=knobs, stamp=made_by)
    schema.write(frame, out, schema.METRICS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
