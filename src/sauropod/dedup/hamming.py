"""All pairs of 64-bit hashes that differ in at most three bits, without comparing every pair.

Two 64-bit words at Hamming distance <= 3 agree on at least one of their four 16-bit bands
(pigeonhole), so only hashes that share a band are compared. Shapes: n hashes, m pairs.
"""

import numpy as np

BANDS = 4
BAND_BITS = 16
DENSE = 4
"""Looking at all n in order costs about as much as picking n / DENSE of them."""


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamming distance of two uint64 arrays, elementwise, as uint8 in [0, 64]."""
    return np.bitwise_count(np.bitwise_xor(a, b))


def pairs_within(hashes: np.ndarray, *, radius: int) -> np.ndarray:
    """Every pair of positions whose hashes differ in at most `radius` bits.

    Args:
        hashes: (n,) uint64. Equal hashes are paired too; collapse them first when there are many.
        radius: 0 to 3 bits; four bands guarantee nothing beyond 3.

    Returns:
        (m, 2) int64, first < second in each row, rows sorted, each pair once.
    """
    if not 0 <= radius < BANDS:
        msg = f"radius {radius} is outside 0..{BANDS - 1}"
        raise ValueError(msg)
    found = [_pairs_of_band(hashes, band, radius) for band in range(BANDS)]
    pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _band(hashes: np.ndarray, band: int) -> np.ndarray:
    return (hashes >> np.uint64(band * BAND_BITS)).astype(np.uint16)


def _pairs_of_band(hashes: np.ndarray, band: int, radius: int) -> np.ndarray:
    """Close pairs that agree on `band` and on no earlier band (so that each pair is found once)."""
    values = _band(hashes, band)
    order = np.argsort(values, kind="stable")
    ordered = hashes[order]
    sizes = np.bincount(values, minlength=1 << BAND_BITS)
    followers = np.repeat(np.cumsum(sizes), sizes) - np.arange(1, len(values) + 1)
    found = [np.empty((0, 2), np.int64)]
    first = None
    # Inside the sorted array a bucket is a run: compare with the 1st, 2nd, ... follower, memory
    # stays O(n).
    for shift in range(1, sizes.max(initial=0)):
        if DENSE * np.maximum(sizes - shift, 0).sum() > len(values):
            # Most have such a follower: compare all, in order, and forget the others later.
            near = np.flatnonzero(distance(ordered[:-shift], ordered[shift:]) <= radius)
            near = near[followers[near] >= shift]
        else:
            first = np.arange(len(values)) if first is None else first
            first = first[followers[first] >= shift]
            near = first[distance(ordered[first], ordered[first + shift]) <= radius]
        for earlier in range(band):
            here, there = ordered[near], ordered[near + shift]
            near = near[_band(here, earlier) != _band(there, earlier)]
        found.append(np.stack([order[near], order[near + shift]], axis=1))
    pairs = np.concatenate(found)
    return np.sort(pairs, axis=1).astype(np.int64)
