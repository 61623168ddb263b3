"""Vision transformer of DINOv2 (arXiv 2304.07193), with the parameter names of Meta's checkpoints.

Shapes: B images of one crop size, h x w pixels, N = h/p * w/p patches, R registers, D width;
tokens of an image are [class | R registers | N patches, row by row]. A forward pass takes crops of
several sizes and packs all their tokens into one tensor (see `layers`).
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sauropod.errors import InputError
from sauropod.models.layers import (
    NORM_EPS,
    AttentionBackend,
    Block,
    Group,
    LayerScale,
    Layout,
    PatchEmbed,
    Subset,
    has_xformers,
    row_counts,
    sample_subsets,
)
from sauropod.models.positions import resize_positions
from sauropod.train.config import Backbone


class Arch(NamedTuple):
    """Plain dimensions of an architecture."""

    embed_dim: int
    depth: int
    num_heads: int


ARCHS: dict[str, Arch] = {
    "vit_tiny": Arch(192, 12, 3),
    "vit_small": Arch(384, 12, 6),
    "vit_base": Arch(768, 12, 12),
    "vit_large": Arch(1024, 24, 16),
    "vit_huge": Arch(1280, 32, 16),
    "vit_giant": Arch(1536, 40, 24),
}


class Features(NamedTuple):
    """What a backbone says about crops of one size."""

    cls_token: Tensor
    """(B, D), after the final norm."""
    register_tokens: Tensor
    """(B, R, D), after the final norm."""
    patch_tokens: Tensor
    """(B, N, D), after the final norm."""
    prenorm: Tensor
    """(B, 1 + R + N, D), before the final norm."""


def arch_of(knobs: Backbone) -> Arch:
    """The dimensions the knobs ask for: the named architecture's unless a knob overrides one.

    Raises:
        InputError: the name is unknown, or the dimensions do not fit each other.
    """
    if knobs.arch not in ARCHS:
        raise _mistake(knob="arch", expected=" or ".join(ARCHS), found=knobs.arch)
    named = ARCHS[knobs.arch]
    dim = knobs.embed_dim or named.embed_dim
    heads = knobs.num_heads or named.num_heads
    if dim % heads:
        raise _mistake(
            knob="embed_dim", expected=f"a multiple of num_heads {heads}", found=str(dim)
        )
    if knobs.image_size % knobs.patch_size:
        expected = f"a multiple of patch_size {knobs.patch_size}"
        raise _mistake(knob="image_size", expected=expected, found=str(knobs.image_size))
    return Arch(dim, knobs.depth or named.depth, heads)


def _check_installed(attention: AttentionBackend) -> None:
    if attention == "xformers" and not has_xformers():
        knob = "attention"
        fix = "install xformers or choose sdpa"
        raise InputError(knob, expected="xformers", found="no such package", fix=fix)


def _mistake(*, knob: str, expected: str, found: str) -> InputError:
    return InputError(knob, expected=expected, found=found, fix="correct the backbone's knobs")


def build_vit(knobs: Backbone, *, seed: int = 0) -> "VisionTransformer":
    """Make a backbone with freshly drawn weights, on the CPU, in fp32.

    The global random state is neither read nor advanced: equal knobs and seed give equal weights.
    """
    with torch.device("meta"):
        vit = VisionTransformer(knobs)
    vit.to_empty(device="cpu")
    vit.init_weights(torch.Generator().manual_seed(seed))
    return vit


class VisionTransformer(nn.Module):
    """The backbone. Parameters are uninitialised until `init_weights` or `load_state_dict`.

    How it runs may be changed at any time and changes no result: `run_by` chooses attention and
    what blocks keep for backward, `compile_blocks` compiles them.
    """

    def __init__(self, knobs: Backbone) -> None:
        """Lay the parameters out.

        Args:
            knobs: Architecture; `image_size` is the side in pixels that `pos_embed` covers.

        Raises:
            InputError: knobs that do not fit each other.
        """
        super().__init__()
        dim, depth, num_heads = arch_of(knobs)
        self.embed_dim, self.patch_size = dim, knobs.patch_size
        self.num_registers = knobs.num_registers
        self.drop_path, self.drop_path_ramp = knobs.drop_path, knobs.drop_path_ramp
        self.recompute = False
        self.interpolate_offset = knobs.interpolate_offset
        self.interpolate_antialias = knobs.interpolate_antialias
        grid = knobs.image_size // knobs.patch_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid * grid, dim))
        if self.num_registers:
            self.register_tokens = nn.Parameter(torch.empty(1, self.num_registers, dim))
        self.mask_token = nn.Parameter(torch.empty(1, dim))
        self.patch_embed = PatchEmbed(patch_size=knobs.patch_size, embed_dim=dim)
        self.blocks = nn.ModuleList(
            Block(
                embed_dim=dim,
                num_heads=num_heads,
                ffn=knobs.ffn,
                layerscale=knobs.layerscale,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Draw every parameter: truncated normal 0.02 for linears and positions (timm's rule)."""
        for parameter in self.parameters():
            parameter.fill_(math.nan)  # a parameter that is forgotten below shows at once
        nn.init.trunc_normal_(self.pos_embed, std=0.02, generator=generator)
        nn.init.normal_(self.cls_token, std=1e-6, generator=generator)
        nn.init.zeros_(self.mask_token)
        if self.num_registers:
            nn.init.normal_(self.register_tokens, std=1e-6, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm | LayerScale):
                module.reset_parameters() if isinstance(module, nn.LayerNorm) else module.reset()
        bound = 1 / math.sqrt(3 * self.patch_size**2)  # a convolution's default in PyTorch
        nn.init.uniform_(self.patch_embed.proj.weight, -bound, bound, generator=generator)
        assert self.patch_embed.proj.bias is not None
        nn.init.uniform_(self.patch_embed.proj.bias, -bound, bound, generator=generator)

    def run_by(self, attention: AttentionBackend, *, recompute: bool) -> None:
        """Choose the attention backend, and whether blocks are computed again in backward.

        Raises:
            InputError: The backend is not installed.
        """
        _check_installed(attention)
        self.recompute = recompute
        for block in self.blocks:
            assert isinstance(block, Block)
            block.attn.backend = attention

    def compile_blocks(self) -> None:
        """Compile every block, whole and for fixed shapes; a copy of this module is not compiled.

        Blocks of equal shapes share one compilation. Under a ramp every block has shapes of its
        own, so that they are compiled for any.
        """
        # One per architecture, layout and mode: students, teacher and probe are more than 8.
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
        for block in self.blocks:
            block.compile(fullgraph=True, dynamic=None if self.drop_path_ramp else False)

    def position_table(self, height: int, width: int) -> Tensor:
        """Position embeddings for `height` x `width` patches: (1, 1 + height * width, D).

        The released models without registers resize by a scale factor with an offset of 0.1
        pixels and no antialiasing, those with registers to the exact size with antialiasing.
        """
        num_patches = self.pos_embed.shape[1] - 1
        if height * width == num_patches and height == width:
            return self.pos_embed
        side = math.isqrt(num_patches)
        cls_pos, patch_pos = self.pos_embed.split([1, num_patches], dim=1)
        resized = resize_positions(
            patch_pos[0].unflatten(0, (side, side)),
            height=height,
            width=width,
            offset=self.interpolate_offset,
            antialias=self.interpolate_antialias,
        )
        return torch.cat([cls_pos, resized.flatten(0, 1)[None]], dim=1)

    def forward_features(
        self,
        crops: Sequence[Tensor],
        *,
        masks: Sequence[Tensor | None] | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Features]:
        """Run crops of several sizes through the backbone as one pack.

        Args:
            crops: Each (B, 3, h, w) float, normalised; B and h, w may differ between entries.
            masks: Per crop tensor None or (B, N) bool; True patches become the mask token.
            generator: Randomness of stochastic depth; needed in training mode with drop_path > 0.

        Returns:
            One `Features` per crop tensor.
        """
        x, layout = self._pack(crops, masks=masks or [None] * len(crops))
        return self._unpack(self._run_blocks(x, layout, generator), layout)

    def forward_tokens(
        self,
        crops: Sequence[Tensor],
        *,
        patches: Tensor,
        masks: Sequence[Tensor | None] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """What training reads of `forward_features`: class tokens, and some patches.

        Nothing follows the last MLP but norms, so it sees those tokens alone: of a ViT-S that
        is 5 % less to compute. Under stochastic depth, whose subsets are of images, it sees all.

        Args:
            crops: As in `forward_features`; so are `masks` and `generator`.
            patches: (M,) int64, positions in the flattened (B * N) patches of the first entry.

        Returns:
            (B, D) class tokens of every entry and the (M, D) patches, after the final norm.
        """
        x, layout = self._pack(crops, masks=masks or [None] * len(crops))
        rows = self._rows_of(layout, patches)
        if self.training and self.drop_path:
            x = self._run_blocks(x, layout, generator).index_select(0, rows)
        else:
            x = self._run_blocks(x, layout, generator, only=rows)
        counts = [group.num_images for group in layout]
        *cls_tokens, chosen = self.norm(x).split([*counts, len(patches)])
        return cls_tokens, chosen

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) float, normalised -> (B, D) class tokens after the final norm."""
        return self.forward_features([images])[0].cls_token

    def get_intermediate_layers(
        self, images: Tensor, *, layers: int | Sequence[int] = 1, norm: bool = True
    ) -> list[Features]:
        """Features after chosen blocks of images of one size.

        Args:
            images: (B, 3, h, w) float, normalised.
            layers: The last n blocks, or block indices counted from 0 (ascending).
            norm: Whether to apply the final norm to each.

        Returns:
            One `Features` per chosen block, in block order; without `norm` its tokens are raw.
        """
        depth = len(self.blocks)
        chosen = range(depth - layers, depth) if isinstance(layers, int) else list(layers)
        assert all(0 <= i < depth for i in chosen), f"layers {list(chosen)} of {depth} blocks"
        x, layout = self._pack([images], masks=[None])
        found = []
        for i, block in enumerate(self.blocks):
            x = block(x, layout=layout)
            if i in chosen:
                found.append(self._unpack(x, layout, norm=norm)[0])
        return found

    def _pack(
        self, crops: Sequence[Tensor], *, masks: Sequence[Tensor | None]
    ) -> tuple[Tensor, Layout]:
        """Embed crops, mask patches, add positions and registers: (T, D) and its layout."""
        packed, layout = [], []
        for crop, patches, mask in zip(crops, self.patch_embed(crops), masks, strict=True):
            if mask is not None:
                mask_token = self.mask_token.to(patches.dtype)
                patches = torch.where(mask[..., None], mask_token, patches)
            h, w = (side // self.patch_size for side in crop.shape[-2:])
            positions = self.position_table(h, w)
            tokens = [(self.cls_token + positions[:, :1]).expand(len(crop), -1, -1)]
            if self.num_registers:  # registers carry no position
                tokens.append(self.register_tokens.expand(len(crop), -1, -1))
            tokens.append(patches + positions[:, 1:])
            joined = torch.cat(tokens, dim=1)
            layout.append(Group(joined.shape[0], joined.shape[1]))
            packed.append(joined.flatten(0, 1))
        return torch.cat(packed), tuple(layout)

    def _rows_of(self, layout: Layout, patches: Tensor) -> Tensor:
        """Rows of the pack that hold all class tokens, then those of patches of the first group."""
        starts = itertools.accumulate(row_counts(layout), initial=0)
        cls_rows = [
            torch.arange(start, start + rows, group.num_tokens, device=patches.device)
            for start, rows, group in zip(starts, row_counts(layout), layout, strict=False)
        ]
        before = 1 + self.num_registers
        num_patches = layout[0].num_tokens - before
        return torch.cat([*cls_rows, patches + (patches // num_patches + 1) * before])

    def _run_blocks(
        self,
        x: Tensor,
        layout: Layout,
        generator: torch.Generator | None,
        *,
        only: Tensor | None = None,
    ) -> Tensor:
        """Run all blocks: (T, D), or of the last one only some rows."""
        every = zip(self.blocks, self._subsets(x, layout, generator), strict=True)
        for i, (block, subsets) in enumerate(every, start=1):
            rows = only if i == len(self.blocks) else None
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(
                    block,
                    x,
                    layout=layout,
                    subsets=subsets,
                    only=rows,
                    use_reentrant=False,
                    preserve_rng_state=False,  # a block draws nothing: its subsets are given
                )
            else:
                x = block(x, layout=layout, subsets=subsets, only=rows)
        return x

    def _subsets(
        self, x: Tensor, layout: Layout, generator: torch.Generator | None
    ) -> list[tuple[Subset | None, Subset | None]]:
        """Stochastic depth of every block, drawn at once so that one copy reaches the device."""
        depth = len(self.blocks)
        if not (self.training and self.drop_path):
            return [(None, None)] * depth
        assert generator is not None, "stochastic depth needs a generator"
        last = max(depth - 1, 1)
        ramp = [i / last if self.drop_path_ramp else 1.0 for i in range(depth)]
        rates = [self.drop_path * share for share in ramp for _ in range(2)]
        drawn = sample_subsets(layout, rates=rates, generator=generator, device=x.device)
        return list(zip(drawn[::2], drawn[1::2], strict=True))

    def _unpack(self, x: Tensor, layout: Layout, *, norm: bool = True) -> list[Features]:
        """Final norm on the whole pack, then one `Features` per group."""
        rows = row_counts(layout)
        normed = self.norm(x) if norm else x
        features = []
        for group, raw, out in zip(layout, x.split(rows), normed.split(rows), strict=True):
            tokens = out.unflatten(0, group)
            cls, registers, patches = tokens.split(
                [1, self.num_registers, group.num_tokens - 1 - self.num_registers], dim=1
            )
            features.append(Features(cls[:, 0], registers, patches, raw.unflatten(0, group)))
        return features
