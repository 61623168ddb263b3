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

AttentionBackend = Literal["sdpa", "xformers"]


class Group(NamedTuple):
    """Crops of one size inside a packed tensor: `num_images` runs of `num_tokens` rows."""

    num_images: int
    num_tokens: int


Layout = tuple[Group, ...]


class Subset(NamedTuple):
    """The sampled part of a pack that one residual branch works on (stochastic depth)."""

    rows: Tensor
    """(T',) int64, rows of the pack that are kept, ascending."""
    scale: Tensor
    """(T', 1) float, B / kept images of the group, so that the expectation is unchanged."""
    layout: Layout
    """Layout of the kept rows."""


def packed_attention(
    q: Tensor, k: Tensor, v: Tensor, *, layout: Layout, backend: AttentionBackend = "sdpa"
) -> Tensor:
    """Scaled dot-product attention inside every image of a pack, none across images.

    Args:
        q: (T, H, d) queries; `k` and `v` likewise.
        k: Keys.
        v: Values.
        layout: Where the images lie; its rows sum to T.
        backend: `sdpa` runs one batched call per crop size and works everywhere; `xformers` runs
            one block-diagonal call and needs xformers and a CUDA device.

    Returns:
        (T, H, d), the dtype of `q`.
    """
    if backend == "xformers":
        return _block_diagonal_attention(q, k, v, layout=layout)
    rows = [group.num_images * group.num_tokens for group in layout]
    outputs = []
    parts = zip(layout, q.split(rows), k.split(rows), v.split(rows), strict=True)
    for group, *qkv in parts:
        qs, ks, vs = (x.unflatten(0, group).transpose(1, 2) for x in qkv)  # each (B, H, N, d)
        out = F.scaled_dot_product_attention(qs, ks, vs)
        outputs.append(out.transpose(1, 2).flatten(0, 1))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


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

    def forward(self, x: Tensor, *, layout: Layout) -> Tensor:
        """(T, D) -> (T, D)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).unbind(1)
        out = packed_attention(q, k, v, layout=layout, backend=self.backend)
        return self.proj(out.flatten(1))


class Mlp(nn.Module):
    """Linear, GELU (exact), linear."""

    def __init__(self, *, embed_dim: int, hidden_dim: int) -> None:
        """Make both linears."""
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class SwiGLU(nn.Module):
    """Gated MLP (arXiv 2002.05202): silu(a) * b, projected back."""

    def __init__(self, *, embed_dim: int, hidden_dim: int) -> None:
        """Make both linears; the hidden width is 2/3 of the MLP's, rounded up to 8."""
        super().__init__()
        hidden = (int(hidden_dim * 2 / 3) + 7) // 8 * 8
        self.w12 = nn.Linear(embed_dim, 2 * hidden)
        self.w3 = nn.Linear(hidden, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


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

    def forward(self, x: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block on a pack, with stochastic depth that skips the compute."""

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: int,
        ffn: Literal["mlp", "swiglu"],
        layerscale: float,
        backend: AttentionBackend,
    ) -> None:
        """Make the two residual branches; `layerscale` 0 means none."""
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = Attention(embed_dim=embed_dim, num_heads=num_heads, backend=backend)
        self.ls1 = _layerscale(embed_dim, layerscale)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        ffn_type = SwiGLU if ffn == "swiglu" else Mlp
        self.mlp = ffn_type(embed_dim=embed_dim, hidden_dim=4 * embed_dim)
        self.ls2 = _layerscale(embed_dim, layerscale)

    def forward(
        self, x: Tensor, *, layout: Layout, subsets: tuple[Subset, Subset] | None = None
    ) -> Tensor:
        """Apply attention and MLP, each to all rows or to its own sampled subset.

        Args:
            x: (T, D) packed tokens.
            layout: Where the images lie in `x`.
            subsets: Rows kept by the attention branch and by the MLP branch; None keeps all.

        Returns:
            (T, D).
        """
        if subsets is None:
            x = x + self.ls1(self.attn(self.norm1(x), layout=layout))
            return x + self.ls2(self.mlp(self.norm2(x)))
        first, second = subsets
        part = self.norm1(x.index_select(0, first.rows))
        part = self.ls1(self.attn(part, layout=first.layout)) * first.scale
        x = x.index_add(0, first.rows, part.to(x.dtype))
        part = self.norm2(x.index_select(0, second.rows))
        part = self.ls2(self.mlp(part)) * second.scale
        return x.index_add(0, second.rows, part.to(x.dtype))


def _layerscale(embed_dim: int, init: float) -> nn.Module:
    return LayerScale(embed_dim=embed_dim, init=init) if init else nn.Identity()


def sample_subsets(
    layout: Layout, *, num_branches: int, drop_path: float, generator: torch.Generator
) -> list[Subset]:
    """Draw the images that each residual branch keeps: max(int(B * (1 - drop_path)), 1) per group.

    Args:
        layout: Layout of the whole pack.
        num_branches: Residual branches, two per block.
        drop_path: Share of images that a branch skips, in [0, 1).
        generator: The only source of randomness; its device need not be the model's.

    Returns:
        One subset per branch, on the generator's device. Subsets are uniform without replacement.
    """
    rows: list[Tensor] = []  # per group (branches, kept * N)
    scales: list[Tensor] = []
    kept_layout = []
    start = 0
    for num_images, num_tokens in layout:
        kept = max(int(num_images * (1 - drop_path)), 1)
        draw = torch.rand(num_branches, num_images, generator=generator, device=generator.device)
        images = draw.argsort(dim=1)[:, :kept].sort(dim=1).values
        offsets = torch.arange(num_tokens, device=generator.device)
        rows.append(start + (images[..., None] * num_tokens + offsets).flatten(1))
        scales.append(
            torch.full((kept * num_tokens, 1), num_images / kept, device=generator.device)
        )
        kept_layout.append(Group(kept, num_tokens))
        start += num_images * num_tokens
    scale = torch.cat(scales)
    return [Subset(r, scale, tuple(kept_layout)) for r in torch.cat(rows, dim=1)]
