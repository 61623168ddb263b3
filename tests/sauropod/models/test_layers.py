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
    sample_subsets,
)

LAYOUT = (Group(3, 5), Group(2, 2), Group(1, 7))


def qkv(num_rows: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(num_rows, 2, 8, generator=generator) for _ in range(3)]


def test_packed_attention_is_softmax_attention_per_image() -> None:
    q, k, v = qkv(26)
    found = packed_attention(q, k, v, layout=LAYOUT)
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
    q, k, v = qkv(26)
    before = packed_attention(q, k, v, layout=LAYOUT)
    k[5:10], v[5:10] = 0, 9  # the second image
    after = packed_attention(q, k, v, layout=LAYOUT)
    assert torch.equal(before[:5], after[:5])
    assert torch.equal(before[10:], after[10:])
    assert not torch.equal(before[5:10], after[5:10])


@pytest.mark.gpu
@pytest.mark.skipif(not (has_xformers() and torch.cuda.is_available()), reason="xformers on CUDA")
def test_xformers_agrees_with_sdpa() -> None:
    q, k, v = (x.cuda().half() for x in qkv(26))
    a = packed_attention(q, k, v, layout=LAYOUT, backend="xformers")
    b = packed_attention(q, k, v, layout=LAYOUT)
    torch.testing.assert_close(a, b, atol=2e-3, rtol=0)


def test_patch_embedding_is_the_convolution() -> None:
    embed = PatchEmbed(patch_size=4, embed_dim=6)
    crops = [torch.randn(2, 3, 8, 12), torch.randn(3, 3, 4, 4)]
    for found, crop in zip(embed(crops), crops, strict=True):
        expected = embed.proj(crop).flatten(2).transpose(1, 2)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    with pytest.raises(AssertionError, match="patch size"):
        embed([torch.randn(1, 3, 8, 9)])


@settings(max_examples=30, deadline=None)
@given(
    images=st.integers(1, 9),
    tokens=st.integers(1, 4),
    drop=st.floats(0, 0.99),
    seed=st.integers(0, 99),
)
def test_subsets_keep_whole_images(images: int, tokens: int, drop: float, seed: int) -> None:
    layout = (Group(images, tokens), Group(2, 3))
    generator = torch.Generator().manual_seed(seed)
    subsets = sample_subsets(layout, num_branches=3, drop_path=drop, generator=generator)
    kept = max(int(images * (1 - drop)), 1)
    for subset in subsets:
        assert subset.layout[0] == (kept, tokens)
        rows = subset.rows[: kept * tokens].view(kept, tokens)
        assert (rows[:, 0] % tokens == 0).all()
        assert (rows == rows[:, :1] + torch.arange(tokens)).all()
        assert (subset.rows.diff() > 0).all()
        assert int(subset.rows.max()) < images * tokens + 6
        torch.testing.assert_close(subset.scale[0, 0], torch.tensor(images / kept))


def test_stochastic_depth_keeps_the_expectation_and_skips_images() -> None:
    block = Block(embed_dim=8, num_heads=2, ffn="mlp", layerscale=1.0, backend="sdpa").eval()
    for module in block.modules():
        if isinstance(module, LayerScale):
            module.reset()
    layout = (Group(4, 3),)
    x = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        attention = block.ls1(block.attn(block.norm1(x), layout=layout))
        total = torch.zeros_like(x)
        for seed in range(400):
            generator = torch.Generator().manual_seed(seed)
            drawn = sample_subsets(layout, num_branches=2, drop_path=0.5, generator=generator)
            first = drawn[0]
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
