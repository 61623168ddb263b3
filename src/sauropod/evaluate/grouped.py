"""Scores told apart by groups of images: regions, incomes, corruptions, severities."""

import torch
from torch import Tensor

from sauropod.evaluate.datasets.dataset import Split
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.scores import accuracy


def grouped_rows(
    protocol: str, scores: Tensor, labels: Tensor, *, split: Split, places: Tensor
) -> list[Measured]:
    """Top-1 accuracy of every group: `<protocol>_top1@<fact>=<value>`.

    Args:
        protocol: First word of the metric.
        scores: (n, C).
        labels: int64 (n,); with several classes per image there are no rows.
        split: Where the groups are told.
        places: int64 (n,), the images' places in the split.
    """
    if labels.ndim == 2:
        return []
    rows = []
    for fact, told in split.groups.items():
        values = told[places.numpy()]
        for value in sorted(set(values.tolist())):
            chosen = torch.from_numpy(values == value)
            share = accuracy(scores[chosen], labels[chosen])
            metric = f"{protocol}_top1@{fact}={value}"
            rows.append(Measured(metric, share, int(chosen.sum()), 0.0))
    return rows
