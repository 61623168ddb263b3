"""k-NN and linear probe of one model on one labelled image folder, as METRICS rows.

Accuracies are shares (0..1). Metrics: `knn<k>_top1`, `knn<k>_top5`, `linear_top1`, `linear_top5`
(the best head), `linear_best_learning_rate`, `linear_best_num_blocks`, `linear_best_avgpool`, and
`unreadable_train`, `unreadable_val` (images left out). Top-5 only with more than five classes.
"""

import dataclasses
import time
from dataclasses import dataclass

import numpy as np
import polars as pl

from sauropod.config import Evaluate
from sauropod.evaluate.accuracy import accuracy
from sauropod.evaluate.datasets import ImageFolder
from sauropod.evaluate.features import Extractor, Features, extract
from sauropod.evaluate.knn import knn_probabilities
from sauropod.evaluate.linear import Recipe, best, probe
from sauropod.schema import METRICS


@dataclass(frozen=True)
class Measured:
    """One number, before it is told which model and benchmark it belongs to."""

    metric: str
    value: float
    num_samples: int
    seconds: float


def metrics_frame(rows: list[Measured], *, model: str, benchmark: str, commit: str) -> pl.DataFrame:
    """Make METRICS rows of measured numbers."""
    return pl.DataFrame(
        [
            (model, benchmark, row.metric, row.value, row.num_samples, row.seconds, commit)
            for row in rows
        ],
        schema=dict(METRICS.columns),
        orient="row",
    )


def _knn_rows(
    train: Features, val: Features, *, num_classes: int, knobs: Evaluate, device: str
) -> list[Measured]:
    start = time.monotonic()
    scores = knn_probabilities(
        train.cls[:, -1].to(device),
        labels=train.labels,
        test=val.cls[:, -1],
        num_classes=num_classes,
        ks=knobs.neighbours,
        temperature=knobs.temperature,
    )
    seconds, count = time.monotonic() - start, len(val.labels)
    tops = (1, 5) if num_classes > 5 else (1,)
    return [
        Measured(f"knn{k}_top{top}", accuracy(votes, val.labels, top=top), count, seconds)
        for k, votes in scores.items()
        for top in tops
    ]


def _linear_rows(
    train: Features,
    val: Features,
    *,
    num_classes: int,
    num_blocks: tuple[int, ...],
    knobs: Evaluate,
    device: str,
) -> list[Measured]:
    start = time.monotonic()
    recipe = Recipe(knobs.learning_rates, num_blocks, knobs.steps, knobs.batch_size)
    heads = probe(
        train, val=val, num_classes=num_classes, recipe=recipe, seed=knobs.seed, device=device
    )
    head = best(heads)
    values = {"linear_top1": head.top1, "linear_top5": head.top5}
    if num_classes <= 5:
        del values["linear_top5"]
    values["linear_best_learning_rate"] = head.learning_rate
    values["linear_best_num_blocks"] = float(head.num_blocks)
    values["linear_best_avgpool"] = float(head.avgpool)
    seconds, count = time.monotonic() - start, len(val.labels)
    return [Measured(metric, value, count, seconds) for metric, value in values.items()]


def measure(
    extractor: Extractor,
    *,
    dataset: ImageFolder,
    num_blocks: tuple[int, ...],
    knobs: Evaluate,
    batch_size: int,
    num_threads: int,
    device: str,
) -> list[Measured]:
    """Extract features once, then run k-NN on the last CLS token and the grid of linear heads.

    Args:
        extractor: Model to measure.
        dataset: Training split to vote and fit with, validation split to measure on.
        num_blocks: Values of the linear grid; at most what the extractor keeps.
        knobs: Neighbours, temperature, grid and schedule.
        batch_size: Images per forward pass.
        num_threads: Decoder threads.
        device: Where everything runs.

    Returns:
        Rows whose `seconds` include the feature extraction they need.
    """
    start = time.monotonic()
    settings = {"batch_size": batch_size, "num_threads": num_threads, "device": device}
    train, val = (
        extract(extractor, split=split, label=f"features of {name}", **settings)
        for name, split in (("train", dataset.train), ("val", dataset.val))
    )
    seconds, count = time.monotonic() - start, len(dataset.classes)
    rows = _knn_rows(train, val, num_classes=count, knobs=knobs, device=device)
    rows += _linear_rows(
        train, val, num_classes=count, num_blocks=num_blocks, knobs=knobs, device=device
    )
    rows = [dataclasses.replace(row, seconds=row.seconds + seconds) for row in rows]
    for name, features in (("train", train), ("val", val)):
        bad = sum(features.unreadable.values())
        rows.append(Measured(f"unreadable_{name}", bad, bad + len(features.labels), 0.0))
    return rows


def chance(dataset: ImageFolder) -> list[Measured]:
    """Accuracy of always answering the training split's most frequent class."""
    answer = int(np.bincount(dataset.train.labels).argmax())
    share, count = float((dataset.val.labels == answer).mean()), len(dataset.val.labels)
    return [Measured(metric, share, count, 0.0) for metric in ("knn10_top1", "linear_top1")]
