"""retrieve.draw: keys depend on content only, samples on neither order nor shards."""

import hashlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.retrieve import draw


def test_mix_is_splitmix64() -> None:
    """The first outputs of splitmix64 from seed 0, as published with it."""
    state = np.array([0x9E3779B97F4A7C15, 0x3C6EF372FE94F82A], np.uint64)
    assert draw.mix(state).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_content_keys_tell_seeds_and_purposes_apart() -> None:
    names = pl.Series([hashlib.sha256(bytes([i])).hexdigest() for i in range(50)])
    keys = draw.content_keys(names, seed=0, purpose="a")
    assert len(set(keys.tolist())) == 50
    np.testing.assert_array_equal(keys[::-1], draw.content_keys(names[::-1], seed=0, purpose="a"))
    for seed, purpose in [(1, "a"), (0, "b")]:
        other = draw.content_keys(names, seed=seed, purpose=purpose)
        assert not np.array_equal(np.argsort(keys), np.argsort(other))


def test_draws_are_uniform() -> None:
    """Every image is drawn about equally often over many seeds."""
    names = pl.Series([hashlib.sha256(bytes([i])).hexdigest() for i in range(20)])
    counts = np.zeros(20)
    for seed in range(400):
        counts[draw.smallest(draw.content_keys(names, seed=seed, purpose="x"), 5)] += 1
    assert np.abs(counts - 100).max() < 4 * np.sqrt(100 * 0.75)


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(0, 22))
@settings(max_examples=50, deadline=None)
def test_smallest_is_a_stable_sort(keys: list[int], size: int) -> None:
    expected = np.argsort(np.array(keys, np.uint64), kind="stable")[:size]
    np.testing.assert_array_equal(draw.smallest(np.array(keys, np.uint64), size), expected)


@pytest.mark.parametrize("size", [0, 1, 40, 199, 1000])
def test_sample_is_the_same_for_any_split(size: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((200, 8)).astype(np.float16)
    vectors[150:] = vectors[:50]  # equal vectors count once
    options = {"size": size, "seed": 3, "purpose": "p"}
    whole = draw.sample_vectors([vectors], **options)
    assert len(whole) == min(size, 150)
    assert len(np.unique(whole, axis=0)) == len(whole)
    for parts in (np.array_split(vectors, 7), np.array_split(vectors[rng.permutation(200)], 3)):
        np.testing.assert_array_equal(draw.sample_vectors(parts, **options), whole)


def test_no_shard_gives_no_vector() -> None:
    assert len(draw.sample_vectors([], size=5, seed=0, purpose="p")) == 0


def test_sample_leaves_out_what_is_not_finite() -> None:
    vectors = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float16)
    broken = np.concatenate([vectors, np.full((2, 4), np.nan, np.float16)])
    options = {"size": 12, "seed": 3, "purpose": "p"}
    found = draw.sample_vectors([broken[20:], broken[:20]], **options)
    np.testing.assert_array_equal(found, draw.sample_vectors([vectors], **options))
