"""k-NN and linear probe of one model's frozen features of one labelled set, as METRICS rows.

Scores are shares (0..1), by the dataset's own metric: `<protocol>_top1` (and `_top5` with more than
five classes), `<protocol>_mean_per_class` or `<protocol>_mean_ap`, where the protocol is `knn<k>`
or `linear`, the best head. Beside them `linear_best_learning_rate`, `linear_best_num_blocks`,
`linear_best_avgpool`, and `unreadable_train`, `unreadable_test` (images left out).
"""

import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sauropod.evaluate.config import Evaluate
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset
from sauropod.evaluate.features import Features
from sauropod.evaluate.knn import knn_probabilities
from sauropod.evaluate.linear import Head, Recipe, best, cached, fit
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.scores import measured_scores, score


def labels_of(dataset: Dataset, features: Mapping[str, Features], split: str) -> Tensor:
    """Labels of a split's readable images: int64 (n,) or bool (n, C)."""
    return torch.from_numpy(dataset.splits[split].labels)[features[split].rows]


def knn_rows(
    features: Mapping[str, Features], *, dataset: Dataset, knobs: Evaluate, device: str
) -> list[Measured]:
    """Weighted k-NN of the last CLS token for every k."""
    start = time.monotonic()
    labels = labels_of(dataset, features, TEST)
    votes = knn_probabilities(
        features[TRAIN].cls[:, -1],
        labels=labels_of(dataset, features, TRAIN),
        test=features[TEST].cls[:, -1],
        num_classes=len(dataset.classes),
        ks=knobs.neighbours,
        temperature=knobs.temperature,
        device=device,
    )
    found = {k: measured_scores(given, labels, metric=dataset.metric) for k, given in votes.items()}
    seconds = time.monotonic() - start
    return [
        Measured(f"knn{k}_{name}", value, len(labels), seconds)
        for k, values in found.items()
        for name, value in values.items()
    ]


def linear_rows(
    features: Mapping[str, Features], *, dataset: Dataset, knobs: Evaluate, device: str
) -> tuple[list[Measured], Head]:
    """Train the whole grid; the head that does best on the test split, and its scores.

    Choosing it there is common practice, and what the reference does.
    """
    start = time.monotonic()
    kept = features[TRAIN].cls.shape[1]
    blocks = tuple(dict.fromkeys(min(count, kept) for count in knobs.num_blocks))
    recipe = Recipe(knobs.learning_rates, blocks, knobs.steps, knobs.batch_size)
    targets = labels_of(dataset, features, TRAIN)
    targets = targets.float() if targets.ndim == 2 else targets
    heads = fit(
        cached(features[TRAIN], targets=targets, recipe=recipe, seed=knobs.seed),
        widths=(features[TRAIN].cls.shape[2], features[TRAIN].patch_mean.shape[1]),
        num_classes=len(dataset.classes),
        recipe=recipe,
        seed=knobs.seed,
        device=device,
    )
    labels = labels_of(dataset, features, TEST)
    given = [head.scores(features[TEST]) for head in heads]
    chosen = best([score(one, labels, metric=dataset.metric) for one in given])
    head = heads[chosen]
    values = {
        **measured_scores(given[chosen], labels, metric=dataset.metric),
        "best_learning_rate": head.learning_rate,
        "best_num_blocks": float(head.reads.num_blocks),
        "best_avgpool": float(head.reads.avgpool),
    }
    seconds, count = time.monotonic() - start, len(labels)
    return [Measured(f"linear_{name}", v, count, seconds) for name, v in values.items()], head


def unreadable_rows(features: Mapping[str, Features]) -> list[Measured]:
    """How many images of every split were left out."""
    counts = {name: sum(one.unreadable.values()) for name, one in features.items()}
    return [
        Measured(f"unreadable_{name}", bad, bad + len(features[name].rows), 0.0)
        for name, bad in counts.items()
    ]


def chance(dataset: Dataset) -> list[Measured]:
    """Accuracy of always answering the training split's most frequent class."""
    train, test = (dataset.splits[name].labels for name in (TRAIN, TEST))
    if train.ndim == 2:
        return []
    share = float((test == int(np.bincount(train).argmax())).mean())
    return [Measured(metric, share, len(test), 0.0) for metric in ("knn10_top1", "linear_top1")]


def measure(
    features: Mapping[str, Features], *, dataset: Dataset, knobs: Evaluate, device: str
) -> tuple[list[Measured], Head]:
    """Run the protocols that the knobs name, and the linear grid, whose best head is returned.

    Args:
        features: Of the splits `train` and `test`.
        dataset: Their labels.
        knobs: Protocols, grids and schedules.
        device: Where the heads are trained and neighbours are searched.
    """
    rows = []
    if "knn" in knobs.protocols:
        rows += knn_rows(features, dataset=dataset, knobs=knobs, device=device)
    linear, head = linear_rows(features, dataset=dataset, knobs=knobs, device=device)
    return [*rows, *linear, *unreadable_rows(features)], head
