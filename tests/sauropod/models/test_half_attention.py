"""Attention in half precision: as exact as PyTorch's own, values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sauropod.models.half_attention import half_attention
from sauropod.models.layers import Group, packed_attention


def run(attention, inputs: list[Tensor], d_out: Tensor) -> list[Tensor]:  # noqa: ANN001
    inputs = [x.detach().requires_grad_() for x in inputs]
    out = attention(*inputs)
    return [out.detach(), *torch.autograd.grad(out, inputs, d_out.to(out.dtype))]


@pytest.mark.parametrize("tokens", [1, 7, 50])
def test_it_is_no_further_from_the_truth_than_the_fused_kernel(tokens: int) -> None:
    generator = torch.Generator().manual_seed(tokens)
    shape = (3, 2, tokens, 16)
    inputs = [torch.randn(shape, generator=generator).bfloat16() for _ in range(3)]
    d_out = torch.randn(shape, generator=generator).bfloat16()
    truth = run(F.scaled_dot_product_attention, [x.double() for x in inputs], d_out)
    fused = run(F.scaled_dot_product_attention, inputs, d_out)
    ours = run(half_attention, inputs, d_out)
    for true, theirs, mine in zip(truth, fused, ours, strict=True):
        assert mine.dtype == torch.bfloat16
        floor = 0.004 * true.norm() + 1e-6  # what rounding the result alone may cost
        assert (mine - true).norm() <= 1.5 * (theirs - true).norm() + floor


def test_two_tokens_by_hand() -> None:
    q = torch.tensor([[[[2.0], [0.0]]]]).bfloat16()  # one image, one head, two tokens, width 1
    k = torch.tensor([[[[1.0], [0.0]]]]).bfloat16()
    v = torch.tensor([[[[1.0], [-1.0]]]]).bfloat16()
    # Row 0 weighs the values by softmax(2, 0), whose difference is tanh(1); row 1 evenly.
    expected = torch.tensor([[[[0.7616], [0.0]]]])
    torch.testing.assert_close(half_attention(q, k, v).float(), expected, rtol=0.01, atol=0)


def test_packed_attention_uses_it_on_a_cpu_in_half(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = (Group(2, 5), Group(3, 2))
    qkv = torch.randn(16, 3, 2, 8, generator=torch.Generator().manual_seed(0))
    exact = packed_attention(qkv, layout=layout)
    monkeypatch.setattr(F, "scaled_dot_product_attention", None)
    for half, whole in zip(packed_attention(qkv.bfloat16(), layout=layout), exact, strict=True):
        torch.testing.assert_close(half.float(), whole, rtol=0.05, atol=0.02)
