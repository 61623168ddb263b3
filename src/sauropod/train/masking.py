"""Masks of iBOT: which crops are masked, how much of each, and where.

Shapes: C global crops of the whole batch (all ranks), H x W patches of a crop, N = H * W. Blocks
are those of BEiT (arXiv 2106.08254); strata and probabilities are those of DINOv2. Everything is
keyed: a crop's mask depends on the key and on the crop's number, not on which rank draws it.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_MIN_BLOCK_PATCHES = 4
_MAX_LOG_ASPECT = -math.log(0.3)
_TRIES = 10


class Draws(Protocol):
    """The two draws a mask needs; numpy's Generator has them."""

    def random(self) -> float:
        """A float in [0, 1)."""
        ...

    def integers(self, low: int, high: int) -> int:
        """An int in [low, high)."""
        ...


def sample_masks(
    key: Sequence[int],
    *,
    crops: Sequence[int],
    num_crops: int,
    grid: tuple[int, int],
    probability: float = 0.5,
    ratio: tuple[float, float] = (0.1, 0.5),
    exact: bool = False,
) -> NDArray[np.bool_]:
    """Masks of some crops of a batch of `num_crops`.

    Args:
        key: Non-negative integers naming the batch, such as (seed, step).
        crops: Numbers of the wanted crops, in [0, num_crops): those of one rank.
        num_crops: Global crops of the batch over all ranks.
        grid: Patches per column and row (H, W).
        probability: Share of crops that are masked at all.
        ratio: Smallest and largest share of masked patches in a masked crop.
        exact: Ask every masked crop for the largest count of its stratum and top its mask up with
            single patches, so that all steps mask the same number of patches.

    Returns:
        (len(crops), H * W) bool, True where masked. The union over ranks does not depend on how
        the crops are split.
    """
    targets = mask_counts(
        _generator(key),
        num_crops=num_crops,
        num_patches=grid[0] * grid[1],
        probability=probability,
        ratio=ratio,
        exact=exact,
    )
    masks = np.zeros((len(crops), grid[0] * grid[1]), dtype=np.bool_)
    for mask, crop in zip(masks, crops, strict=True):
        if count := int(targets[crop]):
            rng = _generator((*key, crop))
            mask[:] = block_mask(rng, grid=grid, count=count).ravel()
            if exact:
                _top_up(rng, mask, count=count)
    return masks


def _top_up(rng: np.random.Generator, mask: NDArray[np.bool_], *, count: int) -> None:
    """Mask single free patches at random, in place, until `count` are masked."""
    missing = count - int(np.count_nonzero(mask))
    if missing:
        mask[rng.permutation(np.flatnonzero(~mask))[:missing]] = True


def _generator(key: Sequence[int]) -> np.random.Generator:
    """A generator of its own per key; SeedSequence keeps keys of different lengths apart."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([len(key), *key])))


def mask_counts(
    rng: np.random.Generator,
    *,
    num_crops: int,
    num_patches: int,
    probability: float,
    ratio: tuple[float, float],
    exact: bool = False,
) -> NDArray[np.int64]:
    """Patches to mask per crop: (num_crops,) int64, zeros for the unmasked.

    int(num_crops * probability) crops are masked. `ratio` is cut into as many equal strata, each
    masked crop draws its share from a stratum of its own (`exact`: takes the upper edge, as DINOv3
    does, so that the counts are always the same), and crops get theirs in random order.
    """
    num_masked = int(num_crops * probability)
    counts = np.zeros(num_crops, dtype=np.int64)
    if num_masked:
        edges = np.linspace(*ratio, num_masked + 1)
        shares = edges[1:] if exact else rng.uniform(edges[:-1], edges[1:])
        counts[:num_masked] = (num_patches * shares).astype(np.int64)
    return rng.permutation(counts)


def block_mask(
    rng: Draws, *, grid: tuple[int, int], count: int, max_block: float | None = None
) -> NDArray[np.bool_]:
    """Mask about `count` patches by rectangles: never more, at times a few less.

    Args:
        rng: Source of draws.
        grid: Patches per column and row (H, W).
        count: Patches wanted, at most H * W.
        max_block: Largest area of one rectangle; None is half the grid, as the reference has it.

    Returns:
        (H, W) bool, True where masked.
    """
    mask = np.zeros(grid, dtype=np.bool_)
    largest = max_block if max_block is not None else max_block_patches(grid)
    left = count
    while left > 0:
        added = _add_block(rng, mask, most=left, largest=min(left, largest))
        if not added:
            break
        left -= added
    return mask


def max_block_patches(grid: tuple[int, int]) -> float:
    """Half the grid, rounded the way the reference's expression happens to round it.

    It computes 0.5 * side // patch * side // patch from left to right: 128 patches for 16 x 16,
    98 for 14 x 14, 666 (not 684) for 37 x 37.
    """
    height, width = grid
    return float(0.5 * height // 1 * width // 1)


def _add_block(rng: Draws, mask: NDArray[np.bool_], *, most: int, largest: float) -> int:
    """Mask one rectangle that brings 1 to `most` new patches; how many it brought, or 0."""
    height, width = mask.shape
    for _ in range(_TRIES):
        # Below the smallest block the range runs backwards, as in the reference.
        area = _MIN_BLOCK_PATCHES + (largest - _MIN_BLOCK_PATCHES) * rng.random()
        aspect = math.exp(_MAX_LOG_ASPECT * (2 * rng.random() - 1))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h >= height or w >= width:
            continue
        top = int(rng.integers(0, height - h + 1))
        start = int(rng.integers(0, width - w + 1))
        block = mask[top : top + h, start : start + w]
        new = h * w - int(np.count_nonzero(block))
        if 0 < new <= most:
            block[...] = True
            return new
    return 0
