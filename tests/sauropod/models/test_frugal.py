"""The frugal linear map against plain autograd: values, gradients, and what it keeps."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sauropod.models.frugal import frugal_linear

T, D, E = 12, 8, 6


def normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, (D,), weight, bias)


def gated(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


CASES = {
    "norm": (normed, [(T, D), (D,), (D,)]),
    "gelu": (F.gelu, [(T, D)]),
    "gated": (gated, [(T, 2 * D)]),
    "joined": (lambda *parts: torch.cat(parts), [(5, D), (7, D)]),
}


def drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


def both(
    case: str, gamma: bool, dtype: torch.dtype, half: torch.dtype | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Values and gradients, ours and plain autograd's."""
    before, shapes = CASES[case]
    inputs = [drawn(shape, seed, dtype) for seed, shape in enumerate(shapes)]
    linear = nn.Linear(D, E, dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(drawn((E, D), 10, dtype))
        linear.bias.copy_(drawn((E,), 11, dtype))
    factor = drawn((E,), 12, dtype) if gamma else None
    leaves = [*inputs, *linear.parameters(), *([] if factor is None else [factor])]
    cotangent = drawn((T, E), 13, dtype).detach()

    def plain() -> Tensor:
        out = linear(before(*inputs))
        return out if factor is None else out * factor

    results = []
    for compute in (lambda: frugal_linear(before, *inputs, linear=linear, gamma=factor), plain):
        with torch.autocast("cpu", dtype=half, enabled=half is not None):
            out = compute()
        results.append([out, *torch.autograd.grad(out, leaves, cotangent.to(out.dtype))])
    return results[0], results[1]


@pytest.mark.parametrize("gamma", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_autograd(case: str, gamma: bool) -> None:
    for found, expected in zip(*both(case, gamma, torch.float64), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gamma", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_autocast_gives_the_same_types(case: str, gamma: bool, half: torch.dtype) -> None:
    for found, expected in zip(*both(case, gamma, torch.float32, half), strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, atol=0.15, rtol=0.05)


def test_it_keeps_its_inputs_alone() -> None:
    x, linear, gamma = (
        drawn((T, D), 0, torch.float32),
        nn.Linear(D, E),
        drawn((E,), 1, torch.float32),
    )
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        frugal_linear(F.gelu, x, linear=linear, gamma=gamma)
    known = {t.data_ptr() for t in (x, gamma, *linear.parameters())}
    assert {t.data_ptr() for t in kept} == known


def test_without_gradients_nothing_is_kept() -> None:
    before: Callable[..., Tensor] = F.gelu
    with torch.no_grad():
        out = frugal_linear(before, drawn((T, D), 0, torch.float32), linear=nn.Linear(D, E))
    assert out.grad_fn is None
