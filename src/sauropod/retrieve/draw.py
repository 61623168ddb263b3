"""Random draws keyed by content, so that neither shard count nor file order can change them.

Every row gets a 64-bit key that is a function of its own content and the seed; a sample of size s
is the s rows with the smallest keys. Such samples can be taken shard by shard and merged. Shapes: n
rows, d width, s rows of the sample.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl


def mix(words: np.ndarray) -> np.ndarray:
    """Spread every bit of uint64 words over all 64 bits (the finaliser of splitmix64)."""
    words = words.astype(np.uint64)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def content_key(sha256: pl.Series) -> np.ndarray:
    """First 64 bits (n,) uint64 of each sha256 (hex)."""
    return sha256.str.head(16).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()


def draw_keys(content: np.ndarray, *, seed: int, purpose: str) -> np.ndarray:
    """Keys (n,) uint64 of images from their content keys (n,) uint64.

    `purpose` separates independent draws of one seed.
    """
    return mix(content ^ _salt(seed, purpose, 1)[0])


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


def reserve(path: Path, size: int, *, head: bytes = b"") -> None:
    """Make a file of `head` and `size` bytes; a map into holes would die of a full disk."""
    with path.open("wb") as file:
        file.write(head)
        file.flush()
        os.posix_fallocate(file.fileno(), 0, len(head) + size)


class Reservoir:
    """What `sample_vectors` keeps, for a sample too large for memory: its vectors lie in a file.

    Memory is 9 bytes per vector of the sample, and for moments three times that.
    """

    def __init__(self, path: Path, *, size: int, at_most: int, seed: int, purpose: str) -> None:
        """Prepare to keep `size` distinct, finite vectors, of `at_most`, in a file at `path`."""
        self._path, self._size = path, size
        self._options = {"seed": seed, "purpose": purpose}
        self._room = min(size + size // 8 + 1, at_most)
        self._keys = np.empty(self._room, np.uint64)
        self._count = 0
        self._limit = np.uint64(2**64 - 1)
        self._vectors: np.memmap | None = None

    def add(self, vectors: np.ndarray) -> None:
        """Offer (n, d) float16 vectors, all of one width."""
        vectors = vectors[np.isfinite(vectors).all(axis=1)]
        keys = vector_keys(vectors, **self._options)
        while len(keys):
            hopeful = keys <= self._limit
            vectors, keys = vectors[hopeful], keys[hopeful]
            if self._vectors is None:
                shape = (self._room, vectors.shape[1])
                reserve(self._path, 2 * self._room * vectors.shape[1])
                self._vectors = np.memmap(self._path, np.float16, "r+", shape=shape)
            taken = min(len(keys), self._room - self._count)
            place = slice(self._count, self._count + taken)
            self._vectors[place], self._keys[place] = vectors[:taken], keys[:taken]
            self._count += taken
            vectors, keys = vectors[taken:], keys[taken:]
            if self._count == self._room:
                self._compact()

    def _compact(self) -> None:
        """Keep the smallest keys, once each; what stands behind moves into the holes."""
        assert self._vectors is not None
        distinct, first = np.unique(self._keys[: self._count], return_index=True)
        if len(distinct) >= self._size:
            self._limit = distinct[self._size - 1]
        kept = first[: self._size]
        stays = np.zeros(self._count, bool)
        stays[kept] = True
        holes = np.flatnonzero(~stays[: len(kept)])
        movers = np.flatnonzero(stays[len(kept) :]) + len(kept)
        for start in range(0, len(holes), 4096):
            part = slice(start, start + 4096)
            self._vectors[holes[part]] = self._vectors[movers[part]]
        self._keys[holes] = self._keys[movers]
        self._count = len(kept)

    def shape(self) -> tuple[int, int]:
        """Vectors of the sample (s) and their width (d); (0, 0) when none was offered."""
        if self._vectors is None:
            return 0, 0
        self._compact()
        return self._count, self._vectors.shape[1]

    def write(self, out: np.ndarray) -> None:
        """Fill (s, d) `out` with the sample in order of key."""
        order = np.argsort(self._keys[: self._count])
        for start in range(0, len(order), 4096):
            assert self._vectors is not None
            out[start : start + 4096] = self._vectors[order[start : start + 4096]]
