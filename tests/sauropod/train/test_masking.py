"""Masks: exact agreement with the reference's algorithm, its statistics, keys and counts."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sauropod.train.masking import block_mask, mask_counts, max_block_patches, sample_masks

Golden = Callable[[str], dict[str, Tensor]]


class PythonDraws:
    """The reference draws from Python's generator; the algorithm sees no difference."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random(self) -> float:
        return self._random.random()

    def integers(self, low: int, high: int) -> int:
        return self._random.randint(low, high - 1)


def test_same_draws_give_the_references_mask(golden: Golden) -> None:
    found = block_mask(PythonDraws(0), grid=(16, 16), count=100)
    assert np.array_equal(found, golden("masking")["seed0_target100_mask"].numpy())


def test_counts_are_distributed_as_in_the_reference(golden: Golden) -> None:
    g = golden("masking")
    rng = np.random.default_rng(0)
    for target, expected in zip(g["targets"].tolist(), g["count_mean_std_max_min"], strict=True):
        counts = [int(block_mask(rng, grid=(16, 16), count=target).sum()) for _ in range(200)]
        mean, std, largest, smallest = expected.tolist()
        assert abs(np.mean(counts) - mean) < 0.3 + 4 * std / 200**0.5
        assert max(counts) <= largest == target
        assert min(counts) >= smallest - 3


def test_share_of_rows_and_columns_is_that_of_the_reference(golden: Golden) -> None:
    g = golden("masking")
    packed = g["examples_packbits"].numpy()  # (6, 4, 32)
    reference = np.unpackbits(packed, axis=-1).reshape(-1, 16, 16)
    rng = np.random.default_rng(1)
    targets = np.repeat(g["targets"].numpy(), 40)
    ours = np.stack([block_mask(rng, grid=(16, 16), count=int(t)) for t in targets])

    def roughness(masks: np.ndarray) -> float:
        """Share of neighbouring patches that differ: blocks differ little, noise a lot."""
        return float(np.mean(masks[:, 1:] != masks[:, :-1]) / masks.mean() / (1 - masks.mean()))

    assert roughness(ours.astype(int)) == pytest.approx(roughness(reference), rel=0.35)
    assert roughness(rng.random((9, 16, 16)) < 0.3) > 2 * roughness(ours.astype(int))


def test_a_block_never_spans_the_grid() -> None:
    class Constant:
        """Always asks for a block of area 8 and aspect 2: 4 patches high, 2 wide."""

        def __init__(self) -> None:
            self._area_next = False

        def random(self) -> float:
            self._area_next = not self._area_next
            return 1.0 if self._area_next else (math.log(2) / -math.log(0.3) + 1) / 2

        def integers(self, low: int, high: int) -> int:
            assert low < high
            return low

    assert not block_mask(Constant(), grid=(4, 8), count=8).any()
    assert block_mask(Constant(), grid=(5, 8), count=8).sum() == 8


@pytest.mark.parametrize(("side", "patches"), [(16, 128), (14, 98), (37, 666)])
def test_largest_block(side: int, patches: int) -> None:
    assert max_block_patches((side, side)) == patches


def test_strata_cover_the_range() -> None:
    rng = np.random.default_rng(0)
    counts = mask_counts(rng, num_crops=40, num_patches=1000, probability=0.5, ratio=(0.1, 0.5))
    masked = np.sort(counts[counts > 0])
    assert len(masked) == 20
    edges = np.linspace(100, 500, 21)
    assert ((masked >= edges[:-1] - 1) & (masked <= edges[1:])).all()
    assert not np.array_equal(counts[:20], masked)
    assert (counts[:20] == 0).any()  # shuffled over crops, the unmasked ones too
    none = mask_counts(rng, num_crops=8, num_patches=16, probability=0.0, ratio=(0.1, 0.5))
    assert not none.any()


def test_batch_is_like_the_references(golden: Golden) -> None:
    """Eight crops of 25 patches at probability 0.5: four masked, within the strata."""
    reference = golden("masking")["collate/masks"]
    bound = int(golden("masking")["collate/upperbound"])
    for step in range(20):
        masks = sample_masks((3, step), crops=range(8), num_crops=8, grid=(5, 5))
        assert (masks.sum(axis=1) > 0).sum() == int((reference.sum(dim=1) > 0).sum()) == 4
        assert 0 < masks.sum() <= bound


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9), step=st.integers(0, 9), split=st.integers(0, 8), exact=st.booleans())
def test_ranks_draw_what_one_process_draws(seed: int, step: int, split: int, exact: bool) -> None:
    def draw(crops: range) -> np.ndarray:
        return sample_masks((seed, step), crops=crops, num_crops=8, grid=(6, 7), exact=exact)

    whole = draw(range(8))
    parts = [draw(range(split)), draw(range(split, 8))]
    assert np.array_equal(np.concatenate(parts), whole)


def test_exact_counts_are_the_upper_edges_of_the_strata_in_every_step() -> None:
    edges = np.linspace(0.1, 0.5, 17)[1:]
    for step in range(4):
        masks = sample_masks((0, step), crops=range(32), num_crops=32, grid=(16, 16), exact=True)
        counts = masks.sum(axis=1)
        assert np.array_equal(np.sort(counts[counts > 0]), (256 * edges).astype(int))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), side=st.integers(3, 16), high=st.floats(0.2, 1.0))
def test_any_count_can_be_reached_exactly(seed: int, side: int, high: float) -> None:
    masks = sample_masks(
        (seed,), crops=range(6), num_crops=6, grid=(side, side), ratio=(0.1, high), exact=True
    )
    edges = np.linspace(0.1, high, 4)[1:]
    assert np.sort(masks.sum(axis=1))[3:].tolist() == (side * side * edges).astype(int).tolist()
