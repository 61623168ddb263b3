"""Compute a frozen backbone's features of a labelled set, once for every protocol.

    python src/extract.py --backbone results/pretrain/main/backbone.safetensors \
        --dataset data/objects --out results/extract/pretrained.objects.safetensors

Without --backbone and --random-like the features are the floor: crude colours.
"""

from pathlib import Path

from sauropod import cli, io
from sauropod.cli import Knobs
from sauropod.evaluate.config import Extract
from sauropod.evaluate.datasets.read import read_dataset
from sauropod.evaluate.features import extract, save_features
from sauropod.evaluate.subject import global_extractor, load_subject


def main(
    dataset: Path,
    out: Path,
    knobs: Knobs[Extract],
    layout: str = "image_folder",
    train: str = "train",
    test: str = "val",
    backbone: Path | None = None,
    random_like: Path | None = None,
    device: str = "cpu",
    inference_batch: int = 64,
    num_threads: int = 2,
) -> None:
    """Extract the features of every split.

    Args:
        dataset: Folder of the labelled set.
        out: safetensors to write.
        layout: How the set's files lie: image_folder, imagenet, voc2007, ...
        train: Folder of the training split of an image_folder.
        test: Folder of the split measured on of an image_folder.
        backbone: Weights to measure.
        random_like: Weights whose architecture is measured, randomly initialised.
        device: cpu or cuda.
        inference_batch: Images per forward pass.
        num_threads: Decoder threads; changes speed only.
    """
    listed = read_dataset(dataset, layout=layout, train=train, test=test)
    vit = load_subject(backbone, random_like, seed=knobs.seed, device=device)
    extractor = global_extractor(vit, num_blocks=knobs.blocks, resize=knobs.resize, crop=knobs.crop)
    features = {
        name: extract(
            extractor,
            split=split,
            batch_size=inference_batch,
            num_threads=num_threads,
            device=device,
            label=f"features of {name}",
            frames=knobs.frames,
            pooling=listed.pooling,
        )
        for name, split in listed.splits.items()
    }
    inputs = [path for path in (backbone, random_like, dataset) if path]
    made_by = io.stamp("extract", knobs=knobs, inputs=inputs)
    save_features(features, out, splits=listed.splits, stamp=made_by)


if __name__ == "__main__":
    cli.run(main)
