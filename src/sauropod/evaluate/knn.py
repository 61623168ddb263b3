"""Weighted k-NN classification of frozen features (DINOv2 section 7.1; Wu et al. 2018).

Exact, in one pass over the training features: a block of them at a time is brought to float32 and
compared with all test images, and of a block only the few similarities above an image's k-th best
so far are looked at again. So neither the training features in full precision nor the matrix of
similarities ever exist whole.

Shapes: N training images, M test images, m of them at once, D width, C classes, K neighbours,
n training images of a block.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8192
"""Training images compared at once."""
CHUNK = 1024
"""Test images compared at once."""


def nearest(
    train: Tensor,
    *,
    test: Tensor,
    count: int,
    device: str | torch.device | None = None,
    block: int = BLOCK,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """The most similar training images of every test image.

    Args:
        train: Features (N, D) of any float type, any norm.
        test: Features (M, D).
        count: K, at most N.
        device: Where it runs; None where `train` lies.
        block: n; the memory for similarities is n * m floats.
        chunk: m.

    Returns:
        Cosines float32 (M, K), largest first, and places int64 (M, K) in `train`; among equal
        cosines the first place comes first. On the device.
    """
    device = device or train.device
    queries = F.normalize(test.to(device).float(), dim=1)
    best = torch.full((len(test), count), -torch.inf, device=device)
    place = torch.zeros((len(test), count), dtype=torch.int64, device=device)
    for start in range(0, len(train), block):
        keys = F.normalize(train[start : start + block].to(device).float(), dim=1)
        for first in range(0, len(queries), chunk):
            part = slice(first, first + chunk)
            similarity = queries[part] @ keys.T  # (m, n)
            found = _candidates(similarity, best[part, -1])
            if found is not None:
                values, columns = found
                values = torch.cat([best[part], values], dim=1)
                places = torch.cat([place[part], start + columns], dim=1)
                best[part], place[part] = _first(values, places, count)
    return best, place


def _candidates(similarity: Tensor, bar: Tensor) -> tuple[Tensor, Tensor] | None:
    """Similarities above each row's bar with their columns, ascending, (m, h); None without any.

    Rows of fewer are filled with -inf. A similarity equal to the bar stays out: what set the bar
    stands before it.
    """
    above = similarity > bar[:, None]
    rows, columns = above.nonzero(as_tuple=True)  # sorted by row, then by column
    if not len(rows):
        return None
    counts = above.sum(dim=1)
    rank = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    shape = len(similarity), int(counts.max())
    values = similarity.new_full(shape, -torch.inf)
    places = torch.zeros(shape, dtype=torch.int64, device=rows.device)
    values[rows, rank] = similarity[rows, columns]
    places[rows, rank] = columns
    return values, places


def _first(values: Tensor, places: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of every row; equal ones in the order they stand in."""
    ordered, index = values.sort(dim=1, descending=True, stable=True)
    return ordered[:, :count], places.gather(1, index[:, :count])


def knn_probabilities(
    train: Tensor,
    *,
    labels: Tensor,
    test: Tensor,
    num_classes: int,
    ks: Sequence[int],
    temperature: float = 0.07,
    device: str | torch.device | None = None,
    block: int = BLOCK,
    chunk: int = CHUNK,
) -> dict[int, Tensor]:
    """Vote of the k most similar training images, weighted by softmax(similarity / temperature).

    As in the reference, the softmax runs over the largest k asked for and is then cut to the
    first k, so that rows of smaller k do not sum to one. A k above N means all N.

    Args:
        train: Features (N, D), any norm: they are L2-normalised here.
        labels: Class numbers of the training images, int64 (N,), or int8 (N, C), 1 for a class.
        test: Features (M, D).
        num_classes: C.
        ks: Numbers of neighbours.
        temperature: Divides the cosine similarities.
        device: Where neighbours are searched; None where `train` lies.
        block: Training images compared at once.
        chunk: Test images compared at once.

    Returns:
        For each k the class scores, float32 (M, C), on the CPU.
    """
    count = min(max(ks), len(train))
    sizes = {"device": device, "block": block, "chunk": chunk}
    cosines, places = nearest(train, test=test, count=count, **sizes)
    weights = (cosines / temperature).softmax(dim=1)
    labels = labels.to(weights.device)
    scores: dict[int, list[Tensor]] = {k: [] for k in ks}
    for part, index in zip(weights.split(chunk), places.split(chunk), strict=True):
        told = labels[index]  # (m, K), or (m, K, C)
        for k in ks:
            if labels.ndim == 2:
                votes = torch.einsum("mk,mkc->mc", part[:, :k], (told[:, :k] > 0).float())
            else:
                votes = torch.zeros(len(part), num_classes, device=part.device)
                votes.scatter_add_(1, told[:, :k], part[:, :k])
            scores[k].append(votes.cpu())
    return {k: torch.cat(parts) for k, parts in scores.items()}
