"""Mixing of fine-tuning: by hand, against plain restatements, and by its laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.evaluate.mixing import mixed, soft_targets


def _rng(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def _batch(count: int = 6, side: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one value each, which is their class."""
    values = torch.arange(count, dtype=torch.float32)
    return values[:, None, None, None].expand(count, 3, side, side), torch.eye(count)


def test_smoothing_by_hand() -> None:
    expected = torch.tensor([[0.925, 0.025, 0.025, 0.025], [0.025, 0.025, 0.925, 0.025]])
    torch.testing.assert_close(
        soft_targets(torch.tensor([0, 2]), num_classes=4, smoothing=0.1), expected
    )


def test_smoothed_targets_give_torchs_smoothed_loss() -> None:
    scores = torch.from_numpy(_rng(0).normal(size=(7, 5))).float()
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    soft = torch.nn.functional.cross_entropy(
        scores, soft_targets(labels, num_classes=5, smoothing=0.2)
    )
    plain = torch.nn.functional.cross_entropy(scores, labels, label_smoothing=0.2)
    torch.testing.assert_close(soft, plain)


@settings(max_examples=20, deadline=None)
@given(key=st.integers(0, 10_000))
def test_a_blend_holds_both_images_as_its_targets_say(key: int) -> None:
    pixels, targets = _batch()
    out, told = mixed(pixels, targets, _rng(key), mixup=0.8, cutmix=0.0)
    share = told[0, 0]
    for i in range(6):
        torch.testing.assert_close(told[i], share * targets[i] + (1 - share) * targets[5 - i])
        torch.testing.assert_close(
            out[i], torch.full((3, 16, 16), float(share * i + (1 - share) * (5 - i)))
        )


@settings(max_examples=20, deadline=None)
@given(key=st.integers(0, 10_000))
def test_a_cut_is_a_square_counted_by_its_pixels(key: int) -> None:
    pixels, targets = _batch()
    out, told = mixed(pixels, targets, _rng(key), mixup=0.0, cutmix=1.0)
    for i in range(6):
        pasted = out[i, 0] == 5 - i
        assert (out[i] == torch.where(pasted, 5.0 - i, float(i))).all()
        rows, columns = (pasted.any(dim=axis).sum() for axis in (1, 0))
        assert pasted.sum() == rows * columns
        assert told[i, 5 - i] == pytest.approx(float(pasted.sum()) / 256, abs=1e-6)
    torch.testing.assert_close(told.sum(dim=1), torch.ones(6))


def test_shares_follow_their_laws_and_each_kind_takes_half_of_the_batches() -> None:
    """Beta(0.8, 0.8) has mean 1/2 and variance 1/(4 (2 * 0.8 + 1)); blends are told by values."""
    pixels, targets = _batch(count=2)
    shares, cuts = [], 0
    for key in range(1500):
        out, told = mixed(pixels, targets, _rng(key), mixup=0.8, cutmix=1.0)
        if bool(((out == 0) | (out == 1)).all()):
            cuts += 1
        else:
            shares.append(float(told[0, 0]))
    assert cuts / 1500 == pytest.approx(0.5, abs=0.05)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
    assert np.var(shares) == pytest.approx(1 / (4 * 2.6), abs=0.015)


def test_nothing_is_mixed_without_an_alpha_and_nothing_is_changed_in_place() -> None:
    pixels, targets = _batch()
    before = pixels.clone()
    out, told = mixed(pixels, targets, _rng(0), mixup=0.0, cutmix=0.0)
    assert out is pixels
    assert told is targets
    for kind in ({"mixup": 1.0, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}):
        first = mixed(pixels, targets, _rng(3), **kind)
        torch.testing.assert_close(pixels, before)
        again = mixed(pixels, targets, _rng(3), **kind)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not math.isclose(float(first[1][0, 0]), 1.0)
