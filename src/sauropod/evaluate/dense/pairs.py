"""Images with a map each: read ahead by threads, in an order that no thread changes.

A pair that cannot be used is left out and counted, never silently and never with a crash.
Shapes: B crops of H x W pixels.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from sauropod.errors import InputError
from sauropod.images import ImageError
from sauropod.train.randomness import Purpose, keyed

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""Items read ahead, per thread."""


class Pair(NamedTuple):
    """An image and its map: labels or depth."""

    image: Path
    truth: Path


class Sample(NamedTuple):
    """A crop, ready for the backbone, and its truth."""

    image: Tensor
    """(3, H, W) float32, normalised; 0, the mean colour, where the crop exceeds the image."""
    truth: Tensor
    """(H, W): class numbers int64, or metres float32."""


Unusable = dict[Path, str]
"""Images left out, with the word that says why."""


def found_pairs(pairs: Sequence[Pair], *, root: Path, layout: str, get: str) -> tuple[Pair, ...]:
    """Check that a split has pairs and that all their files are there.

    Args:
        pairs: What the split should have.
        root: Folder the split was looked for in.
        layout: What was looked for, to complete "expected ...".
        get: How to get what is missing.

    Raises:
        InputError: no pairs, or files missing.
    """
    if not pairs:
        raise InputError(root, expected=layout, found="no image", fix=get)
    missing = [path for pair in pairs for path in pair if not path.is_file()]
    if missing:
        found = f"{len(missing)} of {2 * len(pairs)} files missing"
        raise InputError(missing[0], expected=f"a file of {layout}", found=found, fix=get)
    return tuple(pairs)


def ahead(items: Iterable[T], work: Callable[[T], R], *, num_threads: int) -> Iterator[R]:
    """Yield `work` of every item, in order, a bounded number of items ahead."""
    with ThreadPoolExecutor(num_threads) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > AHEAD * num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # the reader may stop early, of endless items always
            for future in waiting:
                future.cancel()


def loaded(
    pairs: Sequence[Pair], load: Callable[[Pair], R], *, num_threads: int, unusable: Unusable
) -> Iterator[R]:
    """Yield every pair that can be used, in order; the others go to `unusable`.

    Raises:
        InputError: none can be used.
    """

    def tried(pair: Pair) -> R | tuple[Path, str]:
        try:
            return load(pair)
        except ImageError as error:
            return _Failed(pair.image, error.status)

    good = 0
    for found in ahead(pairs, tried, num_threads=num_threads):
        if isinstance(found, _Failed):
            unusable[found.image] = found.status
            continue
        good += 1
        yield found  # type: ignore[misc]
    if not good:
        raise _none_left(pairs, unusable)


class _Failed(NamedTuple):
    image: Path
    status: str


def _none_left(pairs: Sequence[Pair], unusable: Unusable) -> InputError:
    counts = {word: list(unusable.values()).count(word) for word in sorted(set(unusable.values()))}
    return InputError(
        pairs[0].image.parent,
        expected="images that match their maps",
        found=f"none of {len(pairs)} ({counts})",
        fix="check the files",
    )


def batches(
    pairs: Sequence[Pair],
    *,
    view: Callable[[Pair, np.random.Generator], Sample],
    steps: int,
    batch_size: int,
    seed: int,
    num_threads: int,
    unusable: Unusable,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield `steps` batches of random views; equal seeds give equal batches on any threads.

    Every pass over the pairs is a permutation of its own. A pair that cannot be used is passed
    over, so that batches are always full.

    Args:
        pairs: What to draw from.
        view: Makes a sample of a pair by the given generator, or raises ImageError.
        steps: Batches.
        batch_size: B.
        seed: Keys the order and every view.
        num_threads: Reading threads; changes speed only.
        unusable: Receives the pairs that were passed over.

    Yields:
        Images (B, 3, H, W) and truths (B, H, W).

    Raises:
        InputError: no pair can be used.
    """

    def drawn() -> Iterator[tuple[int, Pair]]:
        for epoch in itertools.count():
            order = keyed(seed, purpose=Purpose.ORDER, counter=epoch).permutation(len(pairs))
            for place, index in enumerate(order.tolist()):
                yield epoch * len(pairs) + place, pairs[index]

    def tried(item: tuple[int, Pair]) -> Sample | _Failed:
        ordinal, pair = item
        try:
            return view(pair, keyed(seed, purpose=Purpose.VIEWS, counter=ordinal))
        except ImageError as error:
            return _Failed(pair.image, error.status)

    batch: list[Sample] = []
    done = 0
    for found in ahead(drawn(), tried, num_threads=num_threads):
        if isinstance(found, _Failed):
            unusable[found.image] = found.status
            if len(unusable) == len({pair.image for pair in pairs}):
                raise _none_left(pairs, unusable)
            continue
        batch.append(found)
        if len(batch) == batch_size:
            yield tuple(torch.stack(part) for part in zip(*batch, strict=True))  # type: ignore[misc]
            batch, done = [], done + 1
            if done == steps:
                return
