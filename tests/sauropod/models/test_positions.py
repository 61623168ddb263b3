"""Position tables by matrix products against F.interpolate, values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sauropod.models.positions import _weights, resize_positions

VARIANTS = [(0.1, False), (0.0, False), (0.0, True)]


def interpolated(table: Tensor, height: int, width: int, offset: float, antialias: bool) -> Tensor:
    side = len(table)
    found = F.interpolate(
        table.permute(2, 0, 1)[None],
        size=None if offset else (height, width),
        scale_factor=((height + offset) / side, (width + offset) / side) if offset else None,
        mode="bicubic",
        antialias=antialias,
    )
    return found[0].permute(1, 2, 0)


@pytest.mark.parametrize(("offset", "antialias"), VARIANTS)
@pytest.mark.parametrize(
    ("side", "height", "width"),
    [(5, 3, 3), (5, 7, 7), (5, 4, 6), (16, 7, 7), (37, 16, 16), (2, 1, 3)],
)
def test_it_is_the_interpolation(
    side: int, height: int, width: int, offset: float, antialias: bool
) -> None:
    table = torch.randn(side, side, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = resize_positions(table, height=height, width=width, offset=offset, antialias=antialias)
    expected = interpolated(table, height, width, offset, antialias)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
    cotangent = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(found, table, cotangent)
    (wanted,) = torch.autograd.grad(expected, table, cotangent)
    torch.testing.assert_close(gradient, wanted, atol=4e-6, rtol=0)


@pytest.mark.parametrize(("offset", "antialias"), VARIANTS)
def test_a_constant_table_stays_constant(offset: float, antialias: bool) -> None:
    table = torch.full((6, 6, 2), 3.0)
    found = resize_positions(table, height=4, width=9, offset=offset, antialias=antialias)
    torch.testing.assert_close(found, torch.full((4, 9, 2), 3.0))


def test_half_precision_and_autocast_round_only_the_result() -> None:
    table = torch.randn(5, 5, 4, generator=torch.Generator().manual_seed(0))
    sizes = {"height": 3, "width": 4, "offset": 0.1, "antialias": False}
    expected = resize_positions(table, **sizes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(resize_positions(table, **sizes), expected)
    half = resize_positions(table.bfloat16(), **sizes)
    assert half.dtype == torch.bfloat16
    exact = resize_positions(table.bfloat16().float(), **sizes)
    assert torch.equal(half, exact.bfloat16())


def test_weights_are_found_once_and_serve_training_after_inference() -> None:
    _weights.cache_clear()
    table = torch.randn(5, 5, 4)
    with torch.inference_mode():
        resize_positions(table, height=3, width=3, offset=0.0, antialias=True)
    table.requires_grad_()
    resize_positions(table, height=3, width=3, offset=0.0, antialias=True).sum().backward()
    assert table.grad is not None
    assert _weights.cache_info().misses == 1
