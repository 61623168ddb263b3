from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sauropod.visualise.matching import Match, assigned, matched, salient


@given(seed=st.integers(0, 99), extra=st.integers(0, 2))
def test_assigned_is_the_best_of_all_permutations(seed: int, extra: int) -> None:
    random = np.random.Generator(np.random.Philox(key=seed))
    left, right = random.normal(size=(4, 3)), random.normal(size=(4 + extra, 3))
    distances = np.linalg.norm(left[:, None] - right[None], axis=2)
    best = min(
        sum(distances[i, j] for i, j in enumerate(chosen))
        for chosen in permutations(range(4 + extra), 4)
    )
    found = assigned(torch.from_numpy(left), torch.from_numpy(right))
    assert sum(pair[2] for pair in found) == pytest.approx(best)
    assert [pair[2] for pair in found] == sorted(pair[2] for pair in found)
    assert len({pair[0] for pair in found}) == len({pair[1] for pair in found}) == 4


def test_salient_by_hand() -> None:
    matches = [
        Match((0, 0), (5, 5), 0.1),
        Match((0, 1), (9, 9), 0.2),  # beside the first, on the left
        Match((4, 4), (5, 6), 0.3),  # beside the first, on the right
        Match((4, 0), (0, 0), 0.4),
        Match((9, 0), (0, 9), 0.5),
    ]
    assert salient(matches, radius=1.0, most=9) == [matches[0], matches[3], matches[4]]
    assert salient(matches, radius=0.9, most=9) == matches
    assert salient(matches, radius=1.0, most=2) == [matches[0], matches[3]]


def test_the_planted_matches_are_found(seen: Callable, planted: Callable) -> None:
    first, mask = planted((9, 10), (2, 3, 6, 8))
    second, other = planted((12, 9), (5, 2, 9, 7), seed=7)
    pair = (seen(first), seen(second))
    masks = (torch.from_numpy(mask.ravel()), torch.from_numpy(other.ravel()))
    found = matched(pair, masks, radius=0.0, most=99)
    assert len(found) == mask.sum() == 20
    for match in found:
        assert (match.right[0] - match.left[0], match.right[1] - match.left[1]) == (3, -1)
    few = matched(pair, masks, radius=2.0, most=99)
    assert 1 < len(few) < 20
    assert set(few) <= set(found)
    assert matched(pair, (masks[0], torch.zeros_like(masks[1])), radius=1.0, most=9) == []
