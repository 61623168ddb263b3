"""Keyed randomness: the same seed and names give the same numbers, in any order of drawing."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a counter-based generator keyed by the seed and any number of names."""
    text = "\x1f".join(map(str, (seed, *names))).encode()
    key = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Return one of the items, uniformly."""
    return items[int(rng.integers(len(items)))]
