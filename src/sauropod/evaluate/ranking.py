"""Exact ranking by cosine similarity, and what is measured of it.

Shapes: Q queries, N gallery images, D width, P positives of one query, K neighbours. Ties are
ordered by index, so that the same features give the same numbers everywhere.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from sauropod.errors import InputError

CHUNK_BYTES = 256 << 20


class Relevance(NamedTuple):
    """Gallery indices of one query, int64: those it should find, and those that do not count."""

    positives: np.ndarray
    junk: np.ndarray


def unit(features: torch.Tensor, *, what: str) -> torch.Tensor:
    """Features (n, D) of length 1, float32.

    Raises:
        InputError: one is not finite; `what` says whose.
    """
    broken = int((~features.isfinite().all(dim=1)).sum())
    if broken:
        expected, found = "finite features", f"{broken} of {len(features)} images without"
        raise InputError(what, expected=expected, found=found, fix="check the backbone's weights")
    return F.normalize(features.float(), dim=1)


def similarities(
    queries: torch.Tensor, gallery: torch.Tensor, *, chunk: int | None = None
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first query, its and the next queries' cosines (q, N)) chunk by chunk.

    Args:
        queries: Unit features (Q, D).
        gallery: Unit features (N, D); everything runs where they are.
        chunk: Queries at once; None bounds the matrix to 256 MiB.
    """
    rows = chunk or max(1, CHUNK_BYTES // (4 * len(gallery)))
    for start in range(0, len(queries), rows):
        yield start, queries[start : start + rows].to(gallery.device) @ gallery.T


def by_similarity(similarity: torch.Tensor) -> torch.Tensor:
    """Gallery indices from the most to the least similar, equal ones by index: int64 (q, N)."""
    return similarity.sort(dim=1, descending=True, stable=True).indices


def nearest(similarity: torch.Tensor, *, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first k columns of `by_similarity`, and their similarities, without sorting them all.

    Returns:
        Similarities (q, K) and gallery indices int64 (q, K), K = min(k, N).
    """
    k = min(k, similarity.shape[1])
    values, index = similarity.topk(k, dim=1)
    # topk may take any of those that equal the last: rows where there are more are sorted whole.
    open_rows = (similarity >= values[:, -1:]).sum(dim=1) > k
    index[open_rows] = by_similarity(similarity[open_rows])[:, :k]
    index = index.sort(dim=1).values
    order = by_similarity(similarity.gather(1, index))
    index = index.gather(1, order)
    return similarity.gather(1, index), index


def ranks(order: np.ndarray, relevance: Relevance) -> np.ndarray:
    """Ranks of a query's positives, from 0 and ascending, as if its junk were not in the gallery.

    Args:
        order: Gallery indices from the most to the least similar, int64 (N,).
        relevance: Of this query.

    Returns:
        int64 (P,).
    """
    is_positive, is_junk = np.zeros((2, len(order)), dtype=bool)
    is_positive[relevance.positives] = True
    is_junk[relevance.junk] = True
    places = np.flatnonzero(is_positive[order])
    return places - np.cumsum(is_junk[order])[places]


def average_precision(found: np.ndarray, *, within: int | None = None) -> float:
    """Mean precision at the ranks of all positives (from 0, ascending); a share (0..1).

    Those that are not among the first `within` results count as never found.
    """
    precision = np.arange(1, len(found) + 1) / (found + 1)
    return float(np.mean(precision if within is None else precision * (found < within)))


def trapezoidal_precision(found: np.ndarray) -> float:
    """Area under precision over recall by trapezoids, as revisitop and Holidays measure.

    Precision before the first result is 1. Takes the ranks of all positives (from 0, ascending).
    """
    before = np.arange(len(found))
    left = np.where(found == 0, 1.0, before / np.maximum(found, 1))
    return float(np.mean((left + (before + 1) / (found + 1)) / 2))


def precision_at(found: np.ndarray, *, k: int) -> float:
    """Share of positives among the first k results, as revisitop: k ends at the last positive."""
    k = min(int(found[-1]) + 1, k)
    return float(np.sum(found < k) / k)


def is_found(found: np.ndarray, *, k: int) -> float:
    """1 when a positive is among the first k results, else 0."""
    return float(found[0] < k)


def rank_all(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    *,
    grades: Sequence[Sequence[Relevance]],
    chunk: int | None = None,
) -> list[list[np.ndarray]]:
    """Ranks of every query's positives, under several readings of what is positive.

    Args:
        queries: Unit features (Q, D).
        gallery: Unit features (N, D).
        grades: Per reading one Relevance per query.
        chunk: As in `similarities`.

    Returns:
        Per reading and query the ranks, int64 (P,).
    """
    found: list[list[np.ndarray]] = [[] for _ in grades]
    for start, similarity in similarities(queries, gallery, chunk=chunk):
        for row, order in enumerate(by_similarity(similarity).cpu().numpy(), start=start):
            for grade, kept in zip(grades, found, strict=True):
                kept.append(ranks(order, grade[row]))
    return found


def micro_average_precision(hits: np.ndarray, *, num_positives: int) -> float:
    """Average precision of one list over all queries, most confident first; a share (0..1).

    Args:
        hits: Whether each answer is right, bool (n,), in the order of falling confidence.
        num_positives: Right answers there are in all.
    """
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].sum() / num_positives)
