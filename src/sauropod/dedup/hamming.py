"""All pairs of 64-bit hashes that differ in at most three bits, without comparing every pair.

Two 64-bit words at Hamming distance <= 3 agree on at least one of their four 16-bit bands
(pigeonhole), so only hashes that share a band are compared. Shapes: n hashes, m pairs.
"""

import numpy as np

BANDS = 4
BAND_BITS = 16


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamming distance of two uint64 arrays, elementwise, as uint8 in [0, 64]."""
    x = np.bitwise_xor(a, b)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((x * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)


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
    order = np.argsort(_band(hashes, band), kind="stable")
    ordered, values = hashes[order], _band(hashes, band)[order]
    found = [np.empty((0, 2), np.int64)]
    # Inside the sorted array a bucket is a run: compare with the 1st, 2nd, ... follower, memory
    # stays O(n).
    first = np.flatnonzero(values[1:] == values[:-1])
    shift = 1
    while first.size:
        second = first + shift
        close = distance(ordered[first], ordered[second]) <= radius
        for earlier in range(band):
            close &= _band(ordered[first], earlier) != _band(ordered[second], earlier)
        found.append(np.stack([order[first[close]], order[second[close]]], axis=1))
        shift += 1
        first = first[first + shift < len(values)]
        first = first[values[first + shift] == values[first]]
    pairs = np.concatenate(found)
    return np.sort(pairs, axis=1).astype(np.int64)
