"""KoLeo loss against golden numbers, a hand-computed case and its invariances."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sauropod.train.koleo_loss import koleo_loss

Golden = Callable[[str], dict[str, Tensor]]


@pytest.mark.parametrize("case", ["a", "b"])
def test_matches_the_reference_with_gradient(golden: Golden, case: str) -> None:
    g = golden("losses")
    x = g[f"koleo/{case}/x"].requires_grad_()
    loss = koleo_loss(x)
    torch.testing.assert_close(loss, g[f"koleo/{case}/loss"], atol=0, rtol=1e-5)
    loss.backward()
    torch.testing.assert_close(x.grad, g[f"koleo/{case}/grad"], atol=1e-6, rtol=1e-4)


def test_by_hand() -> None:
    # Directions 0, 90 and 180 degrees: every nearest neighbour is sqrt(2) away.
    x = torch.tensor([[3.0, 0.0], [0.0, 0.1], [-5.0, 0.0]])
    torch.testing.assert_close(koleo_loss(x), torch.tensor(-math.log(math.sqrt(2))))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), images=st.integers(2, 9))
def test_order_and_length_do_not_matter(seed: int, images: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(images, 6, generator=generator)
    scale = 1 + torch.rand(images, 1, generator=generator)
    shuffled = (x * scale)[torch.randperm(images, generator=generator)]
    torch.testing.assert_close(koleo_loss(shuffled), koleo_loss(x), atol=1e-5, rtol=1e-5)


def test_agrees_with_all_pairs_of_distances() -> None:
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    unit = x / x.norm(dim=1, keepdim=True)
    distances = torch.cdist(unit, unit) + 9 * torch.eye(9)
    expected = -distances.min(dim=1).values.log().mean()
    torch.testing.assert_close(koleo_loss(x), expected, atol=1e-5, rtol=1e-5)


def test_near_duplicates_in_half_precision_stay_finite() -> None:
    x = torch.ones(4, 8, dtype=torch.float16)
    x[0, 0] = 2
    with torch.autocast("cpu", dtype=torch.float16):
        loss = koleo_loss(x)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


def test_one_image_has_no_neighbour() -> None:
    x = torch.ones(1, 4, requires_grad=True)
    loss = koleo_loss(x)
    loss.backward()
    assert loss.item() == 0
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_groups_keep_to_themselves() -> None:
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([koleo_loss(group) for group in x.split(4)]).mean()
    torch.testing.assert_close(koleo_loss(x, group_size=4), expected)
    torch.testing.assert_close(koleo_loss(x, group_size=12), koleo_loss(x))
