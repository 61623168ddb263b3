"""dedup.hamming: distances by hand, all pairs against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.dedup import hamming

WORDS = st.integers(0, 2**64 - 1)


def _brute(hashes: np.ndarray, radius: int) -> list[tuple[int, int]]:
    values = [int(value) for value in hashes]
    return [
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= radius
    ]


def test_distance_by_hand() -> None:
    a = np.array([0, 0b1011, 2**64 - 1, 1 << 63], np.uint64)
    b = np.array([0, 0b0001, 0, 1], np.uint64)
    assert hamming.distance(a, b).tolist() == [0, 2, 64, 2]


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_distance_is_bit_count(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side, np.uint64) for side in zip(*pairs, strict=True))
    expected = [(x ^ y).bit_count() for x, y in pairs]
    assert hamming.distance(a, b).tolist() == expected


@given(
    st.lists(WORDS, min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 63), max_size=5)), max_size=25),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_pairs_are_all_pairs(
    seeds: list[int], flips: list[tuple[int, set[int]]], radius: int
) -> None:
    near = [seeds[which % len(seeds)] ^ sum(1 << bit for bit in bits) for which, bits in flips]
    hashes = np.array(seeds + near, np.uint64)
    found = hamming.pairs_within(hashes, radius=radius)
    assert [tuple(pair) for pair in found.tolist()] == _brute(hashes, radius)


def test_planted_pairs_among_many() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 50_000, dtype=np.uint64)
    bits = np.stack([rng.permutation(64)[:3] for _ in range(500)]).astype(np.uint64)
    hashes[-500:] = hashes[:500] ^ (np.uint64(1) << bits).sum(axis=1, dtype=np.uint64)
    found = hamming.pairs_within(hashes, radius=3)
    planted = np.stack([np.arange(500), np.arange(49_500, 50_000)], axis=1)
    np.testing.assert_array_equal(found, planted)


def test_nothing_to_compare() -> None:
    for hashes in (np.empty(0, np.uint64), np.array([7], np.uint64)):
        assert hamming.pairs_within(hashes, radius=3).shape == (0, 2)


def test_radius_beyond_the_guarantee_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        hamming.pairs_within(np.empty(0, np.uint64), radius=4)
