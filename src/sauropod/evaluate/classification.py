"""k-NN and linear probe of one model's frozen features of one labelled set, as METRICS rows.

Scores are shares (0..1), by the dataset's own metric: `<protocol>_top1` (and `_top5` with more than
five classes), `<protocol>_mean_per_class` or `<protocol>_mean_ap`, where the protocol is `knn<k>`,
`linear` (the best head), `logreg`, or `fewshot<images per class>`. A set that tells images apart by
groups has `<protocol>_top1@<fact>=<value>` too. Beside them `linear_best_learning_rate`,
`linear_best_num_blocks`, `linear_best_avgpool`, `logreg_best_c`, and `unreadable_train`,
`unreadable_test` (images left out).
"""

import time
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sauropod.evaluate import logistic
from sauropod.evaluate.config import Evaluate
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset
from sauropod.evaluate.features import Features
from sauropod.evaluate.grouped import grouped_rows
from sauropod.evaluate.knn import knn_probabilities
from sauropod.evaluate.linear import Head, Recipe, best, cached, fit
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.scores import measured_scores, score


def labels_of(dataset: Dataset, features: Mapping[str, Features], split: str) -> Tensor:
    """Labels of a split's readable images: int64 (n,) or int8 (n, C)."""
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
    targets = (targets > 0).float() if targets.ndim == 2 else targets
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
    rows = [Measured(f"linear_{name}", v, count, seconds) for name, v in values.items()]
    split, places = dataset.splits[TEST], features[TEST].rows
    return [*rows, *grouped_rows("linear", given[chosen], labels, split=split, places=places)], head


def logreg_rows(
    features: Mapping[str, Features], *, dataset: Dataset, knobs: Evaluate, device: str
) -> list[Measured]:
    """Logistic regression on the last CLS token, its penalty chosen on training images alone."""
    start = time.monotonic()
    targets = labels_of(dataset, features, TRAIN)
    found, strength = logistic.search(
        features[TRAIN].cls[:, -1],
        targets=targets > 0 if targets.ndim == 2 else targets,
        num_classes=len(dataset.classes),
        grid=logistic.strengths(low=knobs.c_min, high=knobs.c_max, count=knobs.c_count),
        worth=partial(score, metric=dataset.metric),
        share=knobs.tuning_share,
        seed=knobs.seed,
        max_iterations=knobs.max_iterations,
        device=device,
    )
    labels, given = labels_of(dataset, features, TEST), found.scores(features[TEST].cls[:, -1])
    values = measured_scores(given, labels, metric=dataset.metric) | {"best_c": strength}
    seconds = time.monotonic() - start
    rows = [Measured(f"logreg_{name}", v, len(labels), seconds) for name, v in values.items()]
    split, places = dataset.splits[TEST], features[TEST].rows
    return [*rows, *grouped_rows("logreg", given, labels, split=split, places=places)]


def few(labels: Tensor, *, shots: int, seed: int) -> Tensor:
    """Places of up to `shots` images of every class, drawn by the seed, ascending."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    drawn = [order[labels[order] == label][:shots] for label in labels.unique()]
    return torch.cat(drawn).sort().values


def fewshot_rows(
    features: Mapping[str, Features], *, dataset: Dataset, knobs: Evaluate, device: str
) -> list[Measured]:
    """Mean over several draws of k-NN with a few training images per class, k = the smallest."""
    start = time.monotonic()
    train, labels = (labels_of(dataset, features, split) for split in (TRAIN, TEST))
    if train.ndim == 2:
        return []
    rows, k = [], min(knobs.neighbours)
    for shots in knobs.shots:
        values = []
        for attempt in range(knobs.tries):
            chosen = few(train, shots=shots, seed=knobs.seed + attempt)
            votes = knn_probabilities(
                features[TRAIN].cls[chosen, -1],
                labels=train[chosen],
                test=features[TEST].cls[:, -1],
                num_classes=len(dataset.classes),
                ks=(k,),
                temperature=knobs.temperature,
                device=device,
            )
            values.append(score(votes[k], labels, metric=dataset.metric))
        seconds = time.monotonic() - start
        name = f"fewshot{shots}_{dataset.metric}"
        rows.append(Measured(name, float(np.mean(values)), len(labels), seconds))
    return rows


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
) -> tuple[list[Measured], Head | None]:
    """Run the protocols that the knobs name; the best head of the linear grid, where it is one.

    Args:
        features: Of the splits `train` and `test`.
        dataset: Their labels.
        knobs: Protocols, grids and schedules.
        device: Where the heads are trained and neighbours are searched.
    """
    rows, head = [], None
    for protocol in knobs.protocols:
        match protocol:
            case "knn":
                rows += knn_rows(features, dataset=dataset, knobs=knobs, device=device)
            case "linear":
                found, head = linear_rows(features, dataset=dataset, knobs=knobs, device=device)
                rows += found
            case "logreg":
                rows += logreg_rows(features, dataset=dataset, knobs=knobs, device=device)
            case "fewshot":
                rows += fewshot_rows(features, dataset=dataset, knobs=knobs, device=device)
    return [*rows, *unreadable_rows(features)], head
