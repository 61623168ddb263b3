"""Weighted k-NN classification of frozen features (DINOv2 section 7.1; Wu et al. 2018).

Shapes: N training images, M test images, D width, C classes, K neighbours.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

CHUNK_BYTES = 256 << 20


def knn_probabilities(
    train: torch.Tensor,
    *,
    labels: torch.Tensor,
    test: torch.Tensor,
    num_classes: int,
    ks: Sequence[int],
    temperature: float = 0.07,
    chunk: int | None = None,
    device: str | None = None,
) -> dict[int, torch.Tensor]:
    """Vote of the k most similar training images, weighted by softmax(similarity / temperature).

    As in the reference, the softmax runs over the largest k asked for and is then cut to the
    first k, so that rows of smaller k do not sum to one. A k above N means all N.

    Args:
        train: Features (N, D), any norm: they are L2-normalised here.
        labels: Class numbers of the training images, int64 (N,).
        test: Features (M, D).
        num_classes: C.
        ks: Numbers of neighbours.
        temperature: Divides the cosine similarities.
        chunk: Test images compared at once; None bounds the similarity matrix to 256 MiB.
        device: Where neighbours are searched; None where `train` lies.

    Returns:
        For each k the class scores, float32 (M, C), on the CPU.
    """
    train = F.normalize(train.to(device or train.device).float(), dim=1)
    labels = labels.to(train.device)
    most = min(max(ks), len(train))
    rows = chunk or max(1, CHUNK_BYTES // (4 * len(train)))
    scores: dict[int, list[torch.Tensor]] = {k: [] for k in ks}
    for part in test.split(rows):
        similarity = F.normalize(part.to(train.device).float(), dim=1) @ train.T  # (m, N)
        top, index = similarity.topk(most, dim=1)  # (m, K), most similar first
        weights = (top / temperature).softmax(dim=1)
        neighbour_labels = labels[index]
        for k in ks:
            votes = torch.zeros(len(part), num_classes, device=train.device)
            votes.scatter_add_(1, neighbour_labels[:, :k], weights[:, :k])
            scores[k].append(votes.cpu())
    return {k: torch.cat(parts) for k, parts in scores.items()}
