"""Layers of the vision transformer, written for packed sequences.

Shapes: B images of one crop size, N tokens of one image (class + registers + patches), D width,
H heads, T = sum over crop sizes of B * N: the rows of one packed token tensor. Norms, linears and
MLPs see (T, D) whatever the crops were; only attention looks at the layout. The mathematics is
that of DINOv2 (arXiv 2304.07193, section 4 and appendix B); parameter names are those of its
checkpoints.
"""

import importlib.util
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sauropod.models.frugal import frugal_linear
from sauropod.models.half_attention import half_attention

AttentionBackend = Literal["sdpa", "xformers"]
NORM_EPS = 1e-6


class Group(NamedTuple):
    """Crops of one size inside a packed tensor: `num_images` runs of `num_tokens` rows."""

    num_images: int
    num_tokens: int


Layout = tuple[Group, ...]


class Subset(NamedTuple):
    """The sampled part of a pack that one residual branch works on (stochastic depth)."""

    rows: Tensor
    """(T',) int64, rows of the pack that are kept, ascending."""
    layout: Layout
    """Layout of the kept rows."""


def row_counts(layout: Layout) -> list[int]:
    """Rows of every group."""
    return [group.num_images * group.num_tokens for group in layout]


def packed_attention(
    qkv: Tensor, *, layout: Layout, backend: AttentionBackend = "sdpa"
) -> list[Tensor]:
    """Scaled dot-product attention inside every image of a pack, none across images.

    Args:
        qkv: (T, 3, H, d) queries, keys and values.
        layout: Where the images lie; its rows sum to T.
        backend: `sdpa` runs one batched call per crop size and works everywhere; `xformers` runs
            one block-diagonal call and needs xformers and a CUDA device.

    Returns:
        (T_i, H, d), the dtype of `qkv`: consecutive parts of the pack that sum to T rows. They
        are not joined because autograd keeps each of them anyway, and would keep the joint, too.
    """
    if backend == "xformers":
        return [_block_diagonal_attention(*qkv.unbind(1), layout=layout)]
    outputs = []
    for group, part in zip(layout, qkv.split(row_counts(layout)), strict=True):
        q, k, v = part.unflatten(0, group).permute(2, 0, 3, 1, 4)  # each (B, H, N, d)
        attention = half_attention if _is_slow(qkv) else F.scaled_dot_product_attention
        outputs.append(attention(q, k, v).transpose(1, 2).flatten(0, 1))
    return outputs


def _is_slow(qkv: Tensor) -> bool:
    """Whether PyTorch's own attention is slow for it; compiled code stays one graph."""
    on_cpu_in_half = qkv.device.type == "cpu" and qkv.dtype in (torch.bfloat16, torch.float16)
    return on_cpu_in_half and not torch.compiler.is_compiling()


def _block_diagonal_attention(q: Tensor, k: Tensor, v: Tensor, *, layout: Layout) -> Tensor:
    from xformers.ops import fmha  # optional  # pyright: ignore[reportMissingImports]

    lengths = [group.num_tokens for group in layout for _ in range(group.num_images)]
    bias = fmha.attn_bias.BlockDiagonalMask.from_seqlens(lengths)
    # xformers needs equal dtypes; under autocast q, k, v already share the half type.
    return fmha.memory_efficient_attention(q[None], k[None], v[None], attn_bias=bias)[0]


def has_xformers() -> bool:
    """Whether the optional attention backend can be imported at all."""
    return importlib.util.find_spec("xformers") is not None


class PatchEmbed(nn.Module):
    """Non-overlapping square patches, one linear map each."""

    def __init__(self, *, patch_size: int, embed_dim: int) -> None:
        """Make the projection; a convolution only by name and shape of its weight."""
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, crops: Sequence[Tensor]) -> list[Tensor]:
        """Embed crops of several sizes with one matrix product.

        Args:
            crops: Each (B, 3, h, w) float; h and w multiples of the patch size.

        Returns:
            For each crop tensor (B, h/p * w/p, D), patches row by row.
        """
        pixels = [self._unfold(crop) for crop in crops]
        rows = [p.shape[0] * p.shape[1] for p in pixels]
        packed = torch.cat([p.flatten(0, 1) for p in pixels])  # (sum B*N, 3*p*p)
        packed = F.linear(packed, self.proj.weight.flatten(1), self.proj.bias)
        return [
            x.unflatten(0, p.shape[:2]) for x, p in zip(packed.split(rows), pixels, strict=True)
        ]

    def _unfold(self, crop: Tensor) -> Tensor:
        """(B, 3, h, w) -> (B, h/p * w/p, 3*p*p), the channel order of a convolution weight."""
        p = self.patch_size
        b, c, h, w = crop.shape
        assert (h % p, w % p) == (0, 0), f"crop {h}x{w} is no multiple of the patch size {p}"
        grid = crop.reshape(b, c, h // p, p, w // p, p)
        return grid.permute(0, 2, 4, 1, 3, 5).reshape(b, (h // p) * (w // p), c * p * p)


class Attention(nn.Module):
    """Multi-head self-attention with one fused qkv projection."""

    def __init__(self, *, embed_dim: int, num_heads: int, backend: AttentionBackend) -> None:
        """Make the projections; `embed_dim` is a multiple of `num_heads`."""
        super().__init__()
        self.num_heads = num_heads
        self.backend: AttentionBackend = backend
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, x: Tensor, *, norm: nn.LayerNorm, gamma: Tensor | None, layout: Layout
    ) -> Tensor:
        """gamma * attention(norm(x)), (T, D) -> (T, D)."""
        qkv = frugal_linear(_normed, x, norm.weight, norm.bias, linear=self.qkv)
        qkv = qkv.unflatten(1, (3, self.num_heads, -1))
        parts = packed_attention(qkv, layout=layout, backend=self.backend)
        return frugal_linear(_joined, *parts, linear=self.proj, gamma=gamma)


class Mlp(nn.Module):
    """Linear, GELU (exact), linear."""

    def __init__(self, *, embed_dim: int, hidden_dim: int) -> None:
        """Make both linears."""
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, x: Tensor, *, norm: nn.LayerNorm, gamma: Tensor | None) -> Tensor:
        """gamma * mlp(norm(x)), (T, D) -> (T, D)."""
        hidden = frugal_linear(_normed, x, norm.weight, norm.bias, linear=self.fc1)
        return frugal_linear(F.gelu, hidden, linear=self.fc2, gamma=gamma)


class SwiGLU(nn.Module):
    """Gated MLP (arXiv 2002.05202): silu(a) * b, projected back."""

    def __init__(self, *, embed_dim: int, hidden_dim: int) -> None:
        """Make both linears; the hidden width is 2/3 of the MLP's, rounded up to 8."""
        super().__init__()
        hidden = swiglu_width(hidden_dim)
        self.w12 = nn.Linear(embed_dim, 2 * hidden)
        self.w3 = nn.Linear(hidden, embed_dim)

    def forward(self, x: Tensor, *, norm: nn.LayerNorm, gamma: Tensor | None) -> Tensor:
        """gamma * swiglu(norm(x)), (T, D) -> (T, D)."""
        hidden = frugal_linear(_normed, x, norm.weight, norm.bias, linear=self.w12)
        return frugal_linear(_gated, hidden, linear=self.w3, gamma=gamma)


def swiglu_width(hidden_dim: int) -> int:
    """Hidden width of SwiGLU: 2/3 of the MLP's, rounded up to a multiple of 8."""
    return (int(hidden_dim * 2 / 3) + 7) // 8 * 8


def _normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, weight.shape, weight, bias, eps=NORM_EPS)


def _joined(*parts: Tensor) -> Tensor:
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).flatten(1)


def _gated(hidden: Tensor) -> Tensor:
    gate, value = hidden.chunk(2, dim=-1)
    return F.silu(gate) * value


class LayerScale(nn.Module):
    """A learnt factor per channel (arXiv 2103.17239), small at first."""

    def __init__(self, *, embed_dim: int, init: float) -> None:
        """Remember the initial value; `reset` writes it."""
        super().__init__()
        self.init = init
        self.gamma = nn.Parameter(torch.empty(embed_dim))

    def reset(self) -> None:
        """Fill `gamma` with its initial value."""
        nn.init.constant_(self.gamma, self.init)


class Block(nn.Module):
    """Pre-norm transformer block on a pack, with stochastic depth that skips the compute."""

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: int,
        ffn: Literal["mlp", "swiglu"],
        layerscale: float,
        backend: AttentionBackend = "sdpa",
    ) -> None:
        """Make the two residual branches; `layerscale` 0 means none."""
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.attn = Attention(embed_dim=embed_dim, num_heads=num_heads, backend=backend)
        self.ls1 = LayerScale(embed_dim=embed_dim, init=layerscale) if layerscale else None
        self.norm2 = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        ffn_type = SwiGLU if ffn == "swiglu" else Mlp
        self.mlp = ffn_type(embed_dim=embed_dim, hidden_dim=4 * embed_dim)
        self.ls2 = LayerScale(embed_dim=embed_dim, init=layerscale) if layerscale else None

    def forward(
        self,
        x: Tensor,
        *,
        layout: Layout,
        subsets: tuple[Subset | None, Subset | None] = (None, None),
        only: Tensor | None = None,
    ) -> Tensor:
        """Apply attention and MLP, each to all rows or to its own sampled subset.

        Args:
            x: (T, D) packed tokens.
            layout: Where the images lie in `x`.
            subsets: Rows kept by the attention branch and by the MLP branch; None keeps all.
            only: (R,) int64, the rows that are wanted; None wants all. Not with a subset for the
                MLP, which then sees these rows alone.

        Returns:
            (T, D), or (R, D).
        """
        first, second = subsets
        part = x if first is None else x.index_select(0, first.rows)
        inner = layout if first is None else first.layout
        gamma = self.ls1.gamma if self.ls1 is not None else None
        part = self.attn(part, norm=self.norm1, gamma=gamma, layout=inner)
        x = _add(x, part, layout=layout, subset=first)
        if only is not None:
            assert second is None, "rows of a sampled subset"
            x = x.index_select(0, only)
        part = x if second is None else x.index_select(0, second.rows)
        gamma = self.ls2.gamma if self.ls2 is not None else None
        part = self.mlp(part, norm=self.norm2, gamma=gamma)
        return _add(x, part, layout=layout, subset=second)


def _add(x: Tensor, part: Tensor, *, layout: Layout, subset: Subset | None) -> Tensor:
    """Add a branch's output; images are repeated so that the expectation is that of all."""
    if subset is None:
        return x + part
    x, counts = x.clone(), row_counts(subset.layout)
    parts = part.to(x.dtype).split(counts)
    for rows, one, whole, kept in zip(
        subset.rows.split(counts), parts, layout, subset.layout, strict=True
    ):
        x.index_add_(0, rows, one, alpha=whole.num_images / kept.num_images)
    return x


def sample_subsets(
    layout: Layout,
    *,
    rates: Sequence[float],
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> list[Subset | None]:
    """Draw the images that each residual branch keeps: max(int(B * (1 - rate)), 1) per group.

    Args:
        layout: Layout of the whole pack.
        rates: Share of images that a branch skips, in [0, 1), one per branch.
        generator: The only source of randomness, on the CPU.
        device: Where the rows are wanted; image numbers reach it in one copy.

    Returns:
        One subset per branch, None where it keeps everything. Subsets are uniform without
        replacement.
    """
    kept = [[max(int(group.num_images * (1 - rate)), 1) for rate in rates] for group in layout]
    chosen = [
        _draw(group.num_images, keep=k, generator=generator)
        for group, k in zip(layout, kept, strict=True)
    ]
    images = torch.cat(chosen)
    if torch.device(device).type == "cuda":
        images = images.pin_memory()  # else the copy would wait for the device
    images = images.to(device, non_blocking=True)

    rows, start = [], 0  # per group the branches' rows
    for group, part, keep in zip(layout, images.split([len(c) for c in chosen]), kept, strict=True):
        offsets = torch.arange(start, start + group.num_tokens, device=images.device)
        every = (part[:, None] * group.num_tokens + offsets).flatten()
        rows.append(every.split([k * group.num_tokens for k in keep]))
        start += group.num_images * group.num_tokens
    subsets: list[Subset | None] = []
    for branch, parts in enumerate(zip(*rows, strict=True)):
        inner = tuple(Group(k[branch], g.num_tokens) for k, g in zip(kept, layout, strict=True))
        subsets.append(None if inner == layout else Subset(torch.cat(parts), inner))
    return subsets


def _draw(num_images: int, *, keep: Sequence[int], generator: torch.Generator) -> Tensor:
    """`keep[i]` of the images for every branch i, ascending within a branch: (sum keep,) int64."""
    rank = torch.rand(len(keep), num_images, generator=generator).argsort(dim=1).argsort(dim=1)
    return (rank < torch.tensor(keep)[:, None]).nonzero()[:, 1]
