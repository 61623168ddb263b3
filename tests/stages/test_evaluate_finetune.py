"""src/evaluate_finetune.py: fine-tuning learns what a random backbone does not know; heads too."""

import dataclasses
from pathlib import Path

import pytest

import evaluate_finetune
from sauropod import schema
from sauropod.errors import InputError
from sauropod.evaluate.config import Finetune

KNOBS = Finetune(
    resize=32,
    crop=32,
    steps=30,
    batch_size=12,
    lr=3e-3,
    warmup_steps=3,
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
