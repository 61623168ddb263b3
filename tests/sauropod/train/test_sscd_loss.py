"""InfoNCE and the entropy term: by hand, by an independent loop, by property."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.train.sscd_loss import entropy_loss, info_nce


def rows(seed: int, sources: list[int], width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(sources), width, generator=generator, dtype=torch.float64)
    return F.normalize(values), torch.tensor(sources)[:, None]


def test_info_nce_by_hand() -> None:
    """Two images on two axes: each row has one match at cosine 1 and two others at 0."""
    z = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    found = info_nce(z, sources=torch.tensor([[7], [7], [9], [9]]), temperature=0.5)
    assert found.item() == pytest.approx(math.log(1 + 2 * math.exp(-2)), rel=1e-6)


def test_entropy_by_hand() -> None:
    """Nearest others: at 60 degrees (distance 1) for three rows, at 120 (root 3) for the last."""
    degrees = torch.tensor([0.0, 60, 60, 180])
    z = torch.stack([torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))], dim=1)
    found = entropy_loss(z, sources=torch.tensor([[0], [1], [1], [2]]))
    assert found.item() == pytest.approx(-math.log(math.sqrt(3)) / 4, abs=1e-6)


def test_a_mixed_row_matches_both_of_its_images() -> None:
    """Rows of images 7, 7, 9 and one that holds both, by hand.

    Each cosine is 0 or 1. The mixed row has three matches and no others; rows of 7 have two
    matches (at 1 and 0) and one other at 0; the row of 9 has one match at 1 and two others at 0.
    """
    z = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    sources = torch.tensor([[7, 7], [7, 7], [9, 9], [7, 9]])
    seven = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    nine = math.log(1 + 2 * math.exp(-2))
    found = info_nce(z, sources=sources, temperature=0.5)
    assert found.item() == pytest.approx((2 * seven + nine) / 4, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    extra=st.lists(st.integers(0, 3), min_size=8, max_size=8),
)
def test_against_plain_loops(seed: int, extra: list[int]) -> None:
    own = [0, 0, 1, 1, 2, 2, 3, 3]
    z, _ = rows(seed, own)
    held = [{a, b} for a, b in zip(own, extra, strict=True)]
    if any(all(a & b for b in held) for a in held):
        return  # a row without any other has no nearest other
    total, spread = 0.0, 0.0
    for i, mine in enumerate(held):
        s = [math.exp(float(z[i] @ z[j]) / 0.1) for j in range(len(z))]
        others = sum(s[j] for j in range(len(z)) if not held[j] & mine)
        matches = [j for j in range(len(z)) if held[j] & mine and j != i]
        total += sum(-math.log(s[j] / (s[j] + others)) for j in matches) / len(matches)
        gaps = [float((z[i] - z[j]).norm()) for j in range(len(z)) if not held[j] & mine]
        spread -= math.log(min(gaps))
    sources = torch.tensor([own, extra]).t()
    found = info_nce(z, sources=sources, temperature=0.1).item()
    assert found == pytest.approx(total / len(z), rel=1e-4)
    found = entropy_loss(z, sources=sources).item()
    assert found == pytest.approx(spread / len(z), rel=1e-4, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_order_and_rotation_do_not_matter(seed: int) -> None:
    z, sources = rows(seed, [0, 1, 2, 0, 1, 2])
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    turn = torch.linalg.qr(rows(seed + 1, [0] * 6)[0])[0]
    for loss in (
        lambda z, s: info_nce(z, sources=s, temperature=0.05),
        lambda z, s: entropy_loss(z, sources=s),
    ):
        expected = loss(z, sources).item()
        assert loss(z[order], sources[order]).item() == pytest.approx(expected, rel=1e-4)
        assert loss(z @ turn, sources).item() == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_equal_rows_of_other_sources_stay_finite() -> None:
    z = torch.ones(4, 1).requires_grad_()
    loss = entropy_loss(F.normalize(z), sources=torch.tensor([[0], [0], [1], [1]]))
    assert loss.item() == pytest.approx(-0.5 * math.log(1e-6), rel=1e-5)
    loss.backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_descent_pulls_matches_and_spreads_the_rest() -> None:
    z, sources = rows(0, [0, 0, 1, 1, 2, 2, 3, 3])
    free = z.float().requires_grad_()
    for _ in range(200):
        unit = F.normalize(free)
        loss = info_nce(unit, sources=sources, temperature=0.05)
        loss = loss + entropy_loss(unit, sources=sources)
        (gradient,) = torch.autograd.grad(loss, free)
        free = (free - 0.05 * gradient).detach().requires_grad_()
    similarity = F.normalize(free) @ F.normalize(free).t()
    same = sources == sources.t()
    assert similarity[same].min() > 0.75
    assert similarity[~same].max() < 0.45
