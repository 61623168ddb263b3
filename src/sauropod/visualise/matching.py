"""Which patch of one picture is which of another (DINOv2 section 7.5, figure 10).

Shapes: N and M foreground patches of the two pictures, D width.
"""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sauropod.visualise.seen import Seen


class Match(NamedTuple):
    """Two patches, by row and column of their grids, and how far their tokens are apart."""

    left: tuple[int, int]
    right: tuple[int, int]
    distance: float


def assigned(left: Tensor, right: Tensor) -> list[tuple[int, int, float]]:
    """Pairs of patches with the least sum of Euclidean distances, each patch in one at most.

    Args:
        left: (N, D).
        right: (M, D).

    Returns:
        min(N, M) times places in both and the distance, the nearest first.
    """
    distances = torch.cdist(
        left.double(), right.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    rows, columns = linear_sum_assignment(distances.numpy())
    pairs = [(int(i), int(j), float(distances[i, j])) for i, j in zip(rows, columns, strict=True)]
    return sorted(pairs, key=lambda pair: (pair[2], pair[0]))


def salient(matches: list[Match], *, radius: float, most: int) -> list[Match]:
    """Keep matches that are the nearest of their neighbourhoods in both pictures.

    Args:
        matches: The nearest first.
        radius: A match is dropped within this distance of a kept one in either picture, patches.
        most: Matches kept at most.
    """
    kept: list[Match] = []
    for match in matches:
        if len(kept) == most:
            break
        if all(
            min(_apart(match.left, other.left), _apart(match.right, other.right)) > radius
            for other in kept
        ):
            kept.append(match)
    return kept


def matched(
    pair: tuple[Seen, Seen], masks: tuple[Tensor, Tensor], *, radius: float, most: int
) -> list[Match]:
    """Salient matches between the foregrounds of two pictures, the nearest first.

    Args:
        pair: Left and right picture.
        masks: Foreground patches of each, bool (N,).
        radius: As in `salient`, patches.
        most: As in `salient`.
    """
    places = [mask.nonzero()[:, 0] for mask in masks]
    tokens = [one.tokens[at] for one, at in zip(pair, places, strict=True)]
    if not all(map(len, places)):
        return []
    columns = [one.grid[1] for one in pair]
    found = [
        Match(
            divmod(int(places[0][i]), columns[0]), divmod(int(places[1][j]), columns[1]), distance
        )
        for i, j, distance in assigned(*tokens)
    ]
    return salient(found, radius=radius, most=most)


def _apart(one: tuple[int, int], other: tuple[int, int]) -> float:
    return ((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5
