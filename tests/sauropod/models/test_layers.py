"""Packed attention, patch embedding and stochastic depth."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.models.layers import (
    Block,
    Group,
    LayerScale,
    PatchEmbed,
    has_xformers,
    packed_attention,
    row_counts,
    sample_subsets,
)

LAYOUT = (Group(3, 5), Group(2, 2), Group(1, 7))


def draw_qkv(num_rows: int) -> torch.Tensor:
    return torch.randn(num_rows, 3, 2, 8, generator=torch.Generator().manual_seed(0))


def test_packed_attention_is_softmax_attention_per_image() -> None:
    qkv = draw_qkv(26)
    q, k, v = qkv.unbind(1)
    found = torch.cat(packed_attention(qkv, layout=LAYOUT))
    start = 0
    for group in LAYOUT:
        for _ in range(group.num_images):
            rows = slice(start, start + group.num_tokens)
            scores = torch.einsum("nhd,mhd->hnm", q[rows], k[rows]) / 8**0.5
            expected = torch.einsum("hnm,mhd->nhd", scores.softmax(-1), v[rows])
            torch.testing.assert_close(found[rows], expected, atol=2e-6, rtol=0)
            start += group.num_tokens
    assert start == 26


def test_no_image_sees_another() -> None:
    qkv = draw_qkv(26)
    before = torch.cat(packed_attention(qkv, layout=LAYOUT))
    qkv[5:10, 1], qkv[5:10, 2] = 0, 9  # keys and values of the second image
    after = torch.cat(packed_attention(qkv, layout=LAYOUT))
    assert torch.equal(before[:5], after[:5])
    assert torch.equal(before[10:], after[10:])
    assert not torch.equal(before[5:10], after[5:10])


@pytest.mark.gpu
@pytest.mark.skipif(not (has_xformers() and torch.cuda.is_available()), reason="xformers on CUDA")
def test_xformers_agrees_with_sdpa() -> None:
    a, b = (draw_qkv(26).cuda().half().requires_grad_() for _ in range(2))
    found = torch.cat(packed_attention(a, layout=LAYOUT, backend="xformers"))
    expected = torch.cat(packed_attention(b, layout=LAYOUT))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad, atol=1e-2, rtol=1e-2)


def test_patch_embedding_is_the_convolution() -> None:
    embed = PatchEmbed(patch_size=4, embed_dim=6)
    crops = [torch.randn(2, 3, 8, 12), torch.randn(3, 3, 4, 4)]
    for found, crop in zip(embed(crops), crops, strict=True):
        expected = embed.proj(crop).flatten(2).transpose(1, 2)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    with pytest.raises(AssertionError, match="patch size"):
        embed([torch.randn(1, 3, 8, 9)])


@settings(max_examples=30)
@given(
    images=st.integers(1, 9),
    tokens=st.integers(1, 4),
    rates=st.lists(st.floats(0, 0.99), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_subsets_keep_whole_images(images: int, tokens: int, rates: list[float], seed: int) -> None:
    layout = (Group(images, tokens), Group(2, 3))
    generator = torch.Generator().manual_seed(seed)
    subsets = sample_subsets(layout, rates=rates, generator=generator)
    for rate, subset in zip(rates, subsets, strict=True):
        kept, kept_of_two = (max(int(n * (1 - rate)), 1) for n in (images, 2))
        if subset is None:
            assert (kept, kept_of_two) == (images, 2)
            continue
        assert subset.layout == ((kept, tokens), (kept_of_two, 3))
        first, second = subset.rows.split(row_counts(subset.layout))
        rows = first.view(kept, tokens)
        assert (rows[:, 0] % tokens == 0).all()
        assert (rows == rows[:, :1] + torch.arange(tokens)).all()
        assert (subset.rows.diff() > 0).all()
        assert int(first.max()) < images * tokens
        assert ((second.view(-1, 3)[:, 0] - images * tokens) % 3 == 0).all()
        assert int(second.max()) < images * tokens + 6


def test_every_image_is_kept_equally_often() -> None:
    rates = [0.25, 0.5] * 2000
    subsets = sample_subsets(
        (Group(4, 1),), rates=rates, generator=torch.Generator().manual_seed(0)
    )
    for rate, kept in zip(rates[:2], (subsets[::2], subsets[1::2]), strict=True):
        rows = torch.cat([subset.rows for subset in kept if subset is not None])
        shares = torch.bincount(rows, minlength=4) / len(kept)
        torch.testing.assert_close(shares, torch.full((4,), 1 - rate), atol=0.03, rtol=0)


def test_stochastic_depth_keeps_the_expectation_and_skips_images() -> None:
    block = Block(embed_dim=8, num_heads=2, ffn="mlp", layerscale=1.0, backend="sdpa").eval()
    for module in block.modules():
        if isinstance(module, LayerScale):
            module.reset()
    layout = (Group(4, 3),)
    x = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert block.ls1 is not None
        assert block.ls2 is not None
        attention = block.attn(x, norm=block.norm1, gamma=block.ls1.gamma, layout=layout)
        total = torch.zeros_like(x)
        for seed in range(400):
            generator = torch.Generator().manual_seed(seed)
            drawn = sample_subsets(layout, rates=[0.5] * 2, generator=generator)
            first = drawn[0]
            assert first is not None
            # With a silent MLP only the attention branch is left to see.
            block.ls2.gamma.zero_()
            out = block(x, layout=layout, subsets=(first, drawn[1]))
            change = (out - x).view(4, 24)
            kept = first.rows.view(-1, 3)[:, 0] // 3
            skipped = [i for i in range(4) if i not in kept.tolist()]
            assert len(kept) == len(skipped) == 2
            assert (change[skipped] == 0).all()
            torch.testing.assert_close(change[kept], 2 * attention.view(4, 24)[kept])
            total += out - x
    torch.testing.assert_close(total / 400, attention, atol=0.15, rtol=0.15)
