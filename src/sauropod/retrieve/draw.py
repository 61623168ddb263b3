"""Random draws keyed by content, so that neither shard count nor file order can change them.

Every row gets a 64-bit key that is a function of its own content and the seed; a sample of size s
is the s rows with the smallest keys. Such samples can be taken shard by shard and merged. Shapes: n
rows, d width.
"""

from collections.abc import Iterable

import numpy as np
import polars as pl


def mix(words: np.ndarray) -> np.ndarray:
    """Spread every bit of uint64 words over all 64 bits (the finaliser of splitmix64)."""
    words = words.astype(np.uint64)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def content_keys(sha256: pl.Series, *, seed: int, purpose: str) -> np.ndarray:
    """Keys (n,) uint64 of images from their sha256 (lower-case hex).

    `purpose` separates independent draws of one seed.
    """
    words = np.array([int(text[:16], 16) for text in sha256], dtype=np.uint64)
    return mix(words ^ _salt(seed, purpose, 1)[0])


def vector_keys(vectors: np.ndarray, *, seed: int, purpose: str) -> np.ndarray:
    """Keys (n,) uint64 of (n, d) float16 vectors from their own bytes (multiply, add, mix)."""
    words = np.ascontiguousarray(vectors).view(np.uint16)
    odd = _salt(seed, purpose, words.shape[1]) | np.uint64(1)
    keys = np.zeros(len(vectors), np.uint64)
    for start in range(0, len(vectors), 4096):
        chunk = words[start : start + 4096].astype(np.uint64) * odd
        keys[start : start + 4096] = chunk.sum(axis=1, dtype=np.uint64)
    return mix(keys)


def _salt(seed: int, purpose: str, count: int) -> np.ndarray:
    key = [seed, *purpose.encode()]
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    return generator.integers(0, 2**64, size=count, dtype=np.uint64)


def smallest(keys: np.ndarray, size: int) -> np.ndarray:
    """Positions of the `size` smallest keys (all of them when there are fewer), in order of key."""
    if size < len(keys):
        chosen = np.argpartition(keys, size - 1)[:size] if size else np.empty(0, np.int64)
        # argpartition may cut a run of equal keys anywhere: keep the earliest positions of the run.
        if size:
            limit = keys[chosen].max()
            below = np.flatnonzero(keys < limit)
            chosen = np.concatenate([below, np.flatnonzero(keys == limit)[: size - len(below)]])
    else:
        chosen = np.arange(len(keys))
    return chosen[np.argsort(keys[chosen], kind="stable")]


def sample_vectors(
    shards: Iterable[np.ndarray], *, size: int, seed: int, purpose: str
) -> np.ndarray:
    """A sample of at most `size` distinct, finite vectors over all shards, in order of key.

    Holds at most size * 9/8 vectors and a shard, and for moments as many again.

    Args:
        shards: (n, d) arrays of one dtype, read one at a time.
        size: rows wanted; fewer come back when there are fewer distinct vectors.
        seed: the draw.
        purpose: separates draws of the same seed.

    Returns:
        (min(size, distinct), d) array of the input dtype, the same whatever the split into shards.
    """
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    limit, waiting = None, 0
    for vectors in shards:
        vectors = vectors[np.isfinite(vectors).all(axis=1)]
        keys = vector_keys(vectors, seed=seed, purpose=purpose)
        if limit is not None:
            hopeful = keys < limit
            vectors, keys = vectors[hopeful], keys[hopeful]
        kept.append((vectors, keys))
        waiting += len(keys)
        # Sorting out costs a copy of the sample: not for every shard.
        if waiting > size // 8:
            kept, waiting = [_smallest_distinct(kept, size)], 0
            limit = kept[0][1][-1] if 0 < len(kept[0][1]) == size else None
    return _smallest_distinct(kept, size)[0] if kept else np.empty((0, 0), np.float16)


def _smallest_distinct(
    parts: list[tuple[np.ndarray, np.ndarray]], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Join (vectors, keys) pairs into the rows of the `size` smallest keys, in order of key."""
    keys, first = np.unique(np.concatenate([keys for _, keys in parts]), return_index=True)
    keys, first = keys[:size], first[:size]
    vectors = np.empty((len(keys), parts[0][0].shape[1]), parts[0][0].dtype)
    start = 0
    for part, _ in parts:  # one by one: all joined would be one more copy
        here = (first >= start) & (first < start + len(part))
        vectors[here] = part[first[here] - start]
        start += len(part)
    return vectors, keys
