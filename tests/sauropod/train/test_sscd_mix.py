"""Mixed copies: by hand, against a plain restatement, and how often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.train import sscd_mix
from sauropod.train.config import TrainSscd


def rng(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def flat(count: int, side: int = 16) -> np.ndarray:
    """Copies of one value each, 10 apart."""
    values = np.arange(count, dtype=np.uint8) * 10
    return np.tile(values[:, None, None, None], (1, side, side, 3))


def test_box_by_hand() -> None:
    """Three quarters cut of side 16: int(16 * sqrt(0.75)) = 13, six pixels each way."""
    assert sscd_mix.box(np.array([8, 8]), side=16, kept=0.25) == (slice(2, 14), slice(2, 14))
    assert sscd_mix.box(np.array([0, 15]), side=16, kept=0.25) == (slice(0, 6), slice(9, 16))
    rows, _ = sscd_mix.box(np.array([8, 8]), side=16, kept=0.999)
    assert rows.start == rows.stop


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_every_copy_is_mixed_with_the_mirrored_one(cutmix: float) -> None:
    pixels, sources = flat(6), np.array([4, 4, 5, 5, 6, 6])
    before = pixels.copy()
    knobs = TrainSscd(mix_share=1.0, cutmix_share=cutmix)
    out, held = sscd_mix.mixed(pixels, sources, rng(0), knobs=knobs)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(held[:, 0], sources)
    for i in range(6):
        own, other = i * 10, (5 - i) * 10
        values = np.unique(out[i])
        if cutmix:
            assert set(values.tolist()) <= {own, other}
            assert (held[i, 1] == sources[5 - i]) == (other in values)
        else:
            assert len(values) == 1
            assert min(own, other) <= values[0] <= max(own, other)
            assert held[i, 1] == sources[5 - i]


@settings(max_examples=10, deadline=None)
@given(key=st.integers(0, 1000))
def test_the_share_kept_follows_the_beta_law(key: int) -> None:
    """Mean 1/2 and variance 1/20 of Beta(2, 2), seen in blends of black and white."""
    pixels = np.zeros((400, 2, 2, 3), np.uint8)
    pixels[:200] = 255
    knobs = TrainSscd(mix_share=1.0, cutmix_share=0.0)
    out, _ = sscd_mix.mixed(pixels, np.arange(400), rng(key), knobs=knobs)
    kept = np.r_[out[:200, 0, 0, 0] / 255, 1 - out[200:, 0, 0, 0] / 255]
    assert kept.mean() == pytest.approx(0.5, abs=0.06)
    assert kept.var() == pytest.approx(0.05, abs=0.02)


def test_the_published_shares() -> None:
    count = 20_000
    pixels = np.zeros((count, 4, 4, 3), np.uint8)
    pixels[: count // 2] = 200
    out, held = sscd_mix.mixed(pixels, np.arange(count), rng(1), knobs=TrainSscd())
    assert (held[:, 0] != held[:, 1]).mean() == pytest.approx(0.05, abs=0.01)
    blended = ~np.isin(out, (0, 200)).all(axis=(1, 2, 3))
    assert blended.mean() == pytest.approx(0.025, abs=0.005)


def test_nothing_is_mixed_at_share_zero() -> None:
    pixels = flat(8)
    out, held = sscd_mix.mixed(pixels, np.arange(8), rng(2), knobs=TrainSscd(mix_share=0.0))
    np.testing.assert_array_equal(out, pixels)
    np.testing.assert_array_equal(held[:, 0], held[:, 1])
