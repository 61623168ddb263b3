"""A linear head trained on one set, measured on shifted images of its classes.

ImageNet-A and R have 200 of the 1000 classes: the best of those 200 scores is the answer, as their
authors ask. ImageNet-V2 names its folders by class number. ImageNet-C's errors are divided by
AlexNet's (mean corruption error).

Shapes: n images, C classes of the head, K of them in the set.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import TEST, Dataset
from sauropod.evaluate.features import Features
from sauropod.evaluate.grouped import grouped_rows
from sauropod.evaluate.linear import Head
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.scores import accuracy, measured_scores

CORRUPTION = "corruption"


@cache
def alexnet_errors() -> dict[str, float]:
    """AlexNet's published error (0..1) by corruption."""
    return yaml.safe_load(Path(__file__).with_name("alexnet_errors.yaml").read_text())


def places_of(classes: tuple[str, ...], known: tuple[str, ...], *, where: Path) -> list[int]:
    """Where a set's classes are among the head's: by name, or by number where names are numbers.

    Raises:
        InputError: the head does not know a class.
    """
    place = {name: number for number, name in enumerate(known)}
    found = []
    for name in classes:
        by_number = int(name) if name.isdigit() and int(name) < len(known) else None
        number = place.get(name, by_number)
        if number is None:
            fix = "name the benchmark that has these classes as classes_of"
            expected = f"classes of the head's {len(known)}, such as {known[0]!r}"
            raise InputError(where, expected=expected, found=repr(name), fix=fix)
        found.append(number)
    return found


def corruption_error(scores: Tensor, labels: Tensor, corruptions: np.ndarray) -> float:
    """Mean over the known corruptions of the error, each divided by AlexNet's (1 = as bad)."""
    published = alexnet_errors()
    ratios = []
    for name in sorted(set(corruptions.tolist()) & published.keys()):
        rows = torch.from_numpy(corruptions == name)
        ratios.append((1.0 - accuracy(scores[rows], labels[rows])) / published[name])
    return float(np.mean(ratios))


def measure(
    features: Features, *, dataset: Dataset, head: Head, known: tuple[str, ...], where: Path
) -> list[Measured]:
    """Measure a head on a set of test images only.

    Args:
        features: Of the set's images.
        dataset: The set.
        head: A trained head.
        known: Names of the head's classes.
        where: The set's folder, for errors.

    Returns:
        `linear_top1` (or `linear_any_of`), `linear_top5`, of corruptions `linear_mce` and every
        accuracy by corruption and severity, and `unreadable_test`.

    Raises:
        InputError: the head reads other features, or does not know a class.
    """
    _check_width(head, features, where)
    split = dataset.splits[TEST]
    scores = head.scores(features)[:, places_of(dataset.classes, known, where=where)]  # (n, K)
    labels = torch.from_numpy(split.labels)[features.rows]
    values = measured_scores(scores, labels, metric=dataset.metric)
    if CORRUPTION in split.groups:
        kinds = split.groups[CORRUPTION][features.rows.numpy()]
        if set(kinds.tolist()) & alexnet_errors().keys():
            values["mce"] = corruption_error(scores, labels, kinds)
    rows = [Measured(f"linear_{name}", v, len(labels), 0.0) for name, v in values.items()]
    rows += grouped_rows("linear", scores, labels, split=split, places=features.rows)
    bad = sum(features.unreadable.values())
    return [*rows, Measured("unreadable_test", bad, bad + len(labels), 0.0)]


def _check_width(head: Head, features: Features, where: Path) -> None:
    blocks, width = features.cls.shape[1:]
    wanted = width * head.reads.num_blocks + features.patch_mean.shape[1] * head.reads.avgpool
    if head.weight.shape[1] != wanted or blocks < head.reads.num_blocks:
        expected, found = f"a head of {wanted} features", str(head.weight.shape[1])
        fix = "name the head of the same backbone"
        raise InputError(where, expected=expected, found=found, fix=fix)
