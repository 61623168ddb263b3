"""src/evaluate_finetune.py: fine-tuning learns what a random backbone does not know; heads too."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

import evaluate_finetune
from sauropod import schema
from sauropod.errors import InputError
from sauropod.evaluate.config import Finetune
from sauropod.evaluate.datasets.read import read_dataset
from sauropod.evaluate.finetune import Classifier, train_all
from sauropod.evaluate.random_crops import crop_batches
from sauropod.models.weights import load_backbone

KNOBS = Finetune(
    resize=32,
    crop=32,
    steps=30,
    batch_size=12,
    lr=3e-3,
    warmup_steps=3,
    drop_path=0.1,
    learning_rates=(1.0, 10.0),
    num_blocks=(1, 2),
)


def _measure(folder: Path, dataset: Path, knobs: Finetune, **subject: Path) -> dict[str, float]:
    out = folder / "metrics.parquet"
    names = {"model": "m", "benchmark": "b", "dataset": dataset, "out": out}
    evaluate_finetune.main(**names, knobs=knobs, **subject)
    return dict(schema.read(out, schema.METRICS).select("metric", "value").rows())


def test_the_whole_network_learns_and_repeats(
    tmp_path: Path, labelled: Path, tiny_backbone: Path
) -> None:
    found = _measure(tmp_path, labelled, KNOBS, random_like=tiny_backbone)
    assert found["finetune_top1"] == 1.0
    assert found["unreadable_test"] == 0.0
    assert found == _measure(tmp_path, labelled, KNOBS, random_like=tiny_backbone)


@pytest.mark.parametrize(
    "changed", [{"mixup": 0.0}, {"cutmix": 0.0}, {"drop_path": 0.0}, {"rand_augment": 0.0}]
)
def test_every_part_of_the_recipe_matters(
    tmp_path: Path, labelled: Path, tiny_backbone: Path, changed: dict[str, float]
) -> None:
    """The scores of a classifier trained for four steps change with each of them."""
    few = dataclasses.replace(KNOBS, steps=4, warmup_steps=1)
    vit, _ = load_backbone(tiny_backbone)
    listed = read_dataset(labelled, layout="image_folder")

    def weights(knobs: Finetune) -> torch.Tensor:
        one = Classifier(copy.deepcopy(vit), len(listed.classes), seed=0)
        split = listed.splits["train"]
        crops = crop_batches(
            split,
            side=32,
            batch_size=12,
            steps=4,
            seed=0,
            num_threads=1,
            magnitude=knobs.rand_augment,
        )
        train_all(one, crops, knobs=knobs, device="cpu")
        return one.layer.weight.detach()

    assert torch.equal(weights(few), weights(few))
    assert not torch.equal(weights(few), weights(dataclasses.replace(few, **changed)))


def test_heads_are_trained_on_a_frozen_backbone(
    tmp_path: Path, labelled: Path, tiny_backbone: Path
) -> None:
    knobs = dataclasses.replace(KNOBS, trained="heads")
    found = _measure(tmp_path, labelled, knobs, backbone=tiny_backbone)
    assert found["linear_top1"] > 0.6
    assert found["linear_best_num_blocks"] in (1.0, 2.0)


def test_colours_cannot_be_trained(tmp_path: Path, labelled: Path) -> None:
    with pytest.raises(InputError, match="weights to train"):
        _measure(tmp_path, labelled, KNOBS)
