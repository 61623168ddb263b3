"""retrieve.draw: keys depend on content only, samples on neither order nor shards."""

import hashlib
from pathlib import Path

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


def _content(count: int) -> np.ndarray:
    names = [hashlib.sha256(bytes([i])).hexdigest() for i in range(count)]
    return draw.content_key(pl.Series(names))


def test_content_key_is_the_beginning_of_the_hash() -> None:
    assert draw.content_key(pl.Series(["ff" * 8 + "00" * 24, "00" * 31 + "01"])).tolist() == [
        2**64 - 1,
        0,
    ]
    assert len(draw.content_key(pl.Series([], dtype=pl.String))) == 0


def test_draw_keys_tell_seeds_and_purposes_apart() -> None:
    content = _content(50)
    keys = draw.draw_keys(content, seed=0, purpose="a")
    assert len(set(keys.tolist())) == 50
    np.testing.assert_array_equal(keys[::-1], draw.draw_keys(content[::-1], seed=0, purpose="a"))
    for seed, purpose in [(1, "a"), (0, "b")]:
        other = draw.draw_keys(content, seed=seed, purpose=purpose)
        assert not np.array_equal(np.argsort(keys), np.argsort(other))


def test_draws_are_uniform() -> None:
    """Every image is drawn about equally often over many seeds."""
    content = _content(20)
    counts = np.zeros(20)
    for seed in range(400):
        counts[draw.smallest(draw.draw_keys(content, seed=seed, purpose="x"), 5)] += 1
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


@pytest.mark.parametrize("size", [1, 16, 40, 149, 1000])
def test_the_sample_on_disk_is_the_one_in_memory(size: int, tmp_path: Path) -> None:
    """Small enough to be sorted out many times, with equal vectors and some that are no numbers."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((200, 8)).astype(np.float16)
    vectors[150:] = vectors[:50]
    vectors[7, 3] = np.nan
    options = {"size": size, "seed": 3, "purpose": "p"}
    whole = draw.sample_vectors([vectors], **options)
    for parts in (np.array_split(vectors, 7), [vectors[rng.permutation(200)]]):
        held = draw.Reservoir(tmp_path / "held", at_most=200, **options)
        for part in parts:
            held.add(part)
        found = np.empty(held.shape(), np.float16)
        held.write(found)
        np.testing.assert_array_equal(found, whole)


def test_an_empty_reservoir(tmp_path: Path) -> None:
    held = draw.Reservoir(tmp_path / "held", size=3, at_most=2, seed=0, purpose="p")
    held.add(np.full((2, 4), np.nan, np.float16))
    assert held.shape()[0] == 0
