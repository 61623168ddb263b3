"""Meters of collapse: by hand, against plain formulas, and at their bad ends."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from sauropod.models.head import Scores
from sauropod.train import health
from sauropod.train.health import (
    Usage,
    assignment_entropy,
    dead_prototypes,
    feature_rank,
    meters,
    prototype_entropy,
    prototype_usage,
    spread,
)


def _draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _scores(seed: int = 0, *, rows: int = 40, prototypes: int = 24) -> Scores:
    features, weight = _draw(seed, rows, 8), _draw(seed + 1, prototypes, 8)
    return Scores(F.normalize(features, dim=1), F.normalize(weight, dim=1))


def _usage(mean: list[float], picked: list[bool], rows: int, row_entropy: float = 0.0) -> Usage:
    return Usage(torch.tensor(mean), torch.tensor(row_entropy), torch.tensor(picked), rows)


def test_entropies_by_hand() -> None:
    # Scores ln 3 and 0 at temperature 1: assignments (3/4, 1/4) and, from the other row, (1/4, 3/4)
    weight = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    usage = prototype_usage(Scores(torch.eye(2), weight), temperature=1.0)
    assert usage.mean.tolist() == pytest.approx([0.5, 0.5])
    assert prototype_entropy(usage).item() == pytest.approx(1.0)
    by_hand = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert assignment_entropy(usage).item() == pytest.approx(by_hand)


def test_dead_prototypes_by_hand() -> None:
    # Two rows on two prototypes reach 2 * (1 - 1/4) = 1.5 of them by chance.
    assert dead_prototypes(_usage([0.5, 0.5], [True, False], 2)).item() == pytest.approx(1 / 3)
    assert dead_prototypes(_usage([0.5, 0.5], [True, True], 2)).item() == 0
    # Many rows reach all four: the plain share of unused ones.
    usage = _usage([0.25] * 4, [True, False, True, False], 1000)
    assert dead_prototypes(usage).item() == pytest.approx(0.5)


def test_rows_at_random_kill_nothing_however_few() -> None:
    generator = torch.Generator().manual_seed(0)
    for rows in (50, 500, 5000):
        picked = torch.zeros(500, dtype=torch.bool)
        picked[torch.randint(500, (rows,), generator=generator)] = True
        usage = Usage(torch.full((500,), 1 / 500), torch.tensor(0.0), picked, rows)
        assert dead_prototypes(usage).item() < 0.05


def test_rank_by_hand() -> None:
    assert feature_rank(torch.eye(5)).item() == pytest.approx(5)
    # Singular values 3 and 1: shares 3/4 and 1/4.
    by_hand = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert feature_rank(torch.diag(torch.tensor([3.0, 1.0]))).item() == pytest.approx(by_hand)


def test_spread_by_hand() -> None:
    # Rows (1, 0) and (0, 2): unit vectors deviate by 1/2 per dimension, times sqrt(2).
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert spread(rows).item() == pytest.approx(math.sqrt(2) / 2)
    # Within a crop: two crops of equal patches each, however far apart, have none.
    crops = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    assert spread(crops).item() == 0
    assert spread(crops.flatten(0, 1)).item() == pytest.approx(math.sqrt(2) / 2)


@pytest.mark.parametrize("chunk", [1, 3 * 4 * 24, 1 << 20])
def test_usage_equals_plain_formulas_in_chunks_of_any_size(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHUNK_BYTES", chunk)
    scores = _scores()
    plain = (scores.features @ scores.prototypes.T).double().numpy() / 0.05
    shares = np.exp(plain) / np.exp(plain).sum(axis=1, keepdims=True)
    usage = prototype_usage(scores, temperature=0.05)
    assert usage.mean.numpy() == pytest.approx(shares.mean(axis=0), rel=1e-4)
    row_entropies = -(shares * np.log(shares)).sum(axis=1)
    assert usage.row_entropy.item() == pytest.approx(row_entropies.mean(), rel=1e-4)
    assert set(usage.picked.nonzero()[:, 0].tolist()) == set(plain.argmax(axis=1).tolist())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40), st.integers(2, 30), st.floats(0.02, 2.0))
def test_every_meter_stays_in_its_range(
    seed: int, rows: int, prototypes: int, temperature: float
) -> None:
    scores = _scores(seed, rows=rows, prototypes=prototypes)
    features = _draw(seed, rows, 6)
    found = {
        name.removeprefix("health/"): value.item()
        for name, value in meters(
            cls_features=features,
            patch_features=_draw(seed, rows, 5, 6),
            scores=scores,
            temperature=temperature,
        ).items()
    }
    rank = found.pop("feature_rank")
    assert 1 - 1e-4 <= rank <= min(rows, 6) + 1e-4
    assert all(-1e-5 <= value <= 1 + 1e-5 for value in found.values()), found
    # Concavity: a mean is never more certain than what it is the mean of.
    assert found["assignment_entropy"] <= found["prototype_entropy"] + 1e-4
    assert feature_rank(features.flip(0) * 7).item() == pytest.approx(rank, rel=1e-3)


def _meters(cls: Tensor, patches: Tensor, scores: Scores, temperature: float = 0.05) -> list[float]:
    found = meters(cls_features=cls, patch_features=patches, scores=scores, temperature=temperature)
    assert all(v.shape == () and v.dtype == torch.float32 for v in found.values())
    return [found[f"health/{name}"].item() for name in NAMES]


NAMES = (
    "prototype_entropy",
    "assignment_entropy",
    "dead_prototypes",
    "feature_rank",
    "cls_std",
    "patch_std",
)


def test_healthy_features_are_at_the_good_end() -> None:
    scores = _scores(rows=400, prototypes=24)
    entropy, row_entropy, dead, rank, cls, patch = _meters(
        _draw(3, 400, 16), _draw(4, 4, 100, 16), scores
    )
    assert entropy > 0.9
    assert row_entropy < 0.5
    assert dead < 0.1
    assert rank > 15
    assert cls > 0.95
    assert patch > 0.95


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_constant_features_are_at_the_bad_end(dtype: torch.dtype) -> None:
    one = _draw(5, 1, 16).to(dtype)
    weight = _scores(rows=1, prototypes=24).prototypes.to(dtype)
    scores = Scores(F.normalize(_draw(6, 1, 8).to(dtype), dim=1).expand(64, 8), weight)
    entropy, row_entropy, dead, rank, cls, patch = _meters(
        one.expand(64, 16), one.expand(2, 30, 16), scores
    )
    assert entropy == pytest.approx(row_entropy, abs=1e-4)  # every image gets the same assignment
    assert dead > 0.95
    assert rank == pytest.approx(1, abs=1e-2)
    assert cls < 1e-3
    assert patch < 1e-3


def test_one_prototype_takes_all() -> None:
    features = F.normalize(_draw(7, 64, 8).abs(), dim=1)
    weight = torch.cat([torch.ones(1, 8), -torch.ones(23, 8)])
    usage = prototype_usage(Scores(features, weight), temperature=0.05)
    assert prototype_entropy(usage).item() < 1e-3
    reachable = 24 * (1 - (1 - 1 / 24) ** 64)
    assert dead_prototypes(usage).item() == pytest.approx(1 - 1 / reachable, rel=1e-4)


def test_equal_scores_say_nothing() -> None:
    weight = torch.ones(24, 8)
    usage = prototype_usage(Scores(_scores().features, weight), temperature=0.05)
    assert prototype_entropy(usage).item() == pytest.approx(1)
    assert assignment_entropy(usage).item() == pytest.approx(1)


def test_zero_features_are_finite() -> None:
    assert feature_rank(torch.zeros(4, 3)).isfinite()
    assert spread(torch.zeros(4, 3)).item() == 0


def test_rank_of_features_that_are_not_finite_is_not_finite() -> None:
    features = torch.eye(4)
    features[1, 2] = torch.nan
    assert health.feature_rank(features).isnan()
