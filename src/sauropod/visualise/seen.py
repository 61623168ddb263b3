"""What a frozen backbone sees of one picture: its patch tokens, and where its class token looks.

Shapes: h x w patches, N = h * w, R registers, D width, H heads, d width of a head.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sauropod.models.layers import Block
from sauropod.models.vit import VisionTransformer
from sauropod.train.augment import normalise


@dataclass(frozen=True)
class Seen:
    """A picture as the backbone was shown it, and what it made of it.

    Attributes:
        image: RGB; its sides are multiples of the patch size.
        grid: Rows and columns of patches (h, w).
        tokens: Patch tokens after the final norm, float32 (N, D), on the CPU.
        attention: Of the last block's class token to the patches, a share (0..1) per head: (H, N).
    """

    image: Image.Image
    grid: tuple[int, int]
    tokens: Tensor
    attention: Tensor


def fitted(image: Image.Image, *, size: int, patch: int) -> Image.Image:
    """Resize to a longer side of `size` pixels, both sides rounded to whole patches; no crop."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale / patch)) * patch for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def see(vit: VisionTransformer, image: Image.Image, *, size: int) -> Seen:
    """Show a backbone one picture.

    Args:
        vit: In evaluation mode, of two blocks or more, on any device.
        image: RGB.
        size: Longer side that is shown, pixels.
    """
    shown = fitted(image, size=size, patch=vit.patch_size)
    pixels = torch.from_numpy(np.array(shown).transpose(2, 0, 1))[None]
    device = vit.cls_token.device
    last = len(vit.blocks) - 1
    assert last > 0
    with torch.inference_mode():
        views = normalise(pixels.to(device))
        before = vit.get_intermediate_layers(views, layers=[last - 1], norm=False)[0].prenorm
        tokens = vit.get_intermediate_layers(views)[0].patch_tokens[0]
        attention = class_attention(vit, before)[:, 1 + vit.num_registers :]
    grid = (shown.height // vit.patch_size, shown.width // vit.patch_size)
    return Seen(shown, grid, tokens.float().cpu(), attention.float().cpu())


def class_attention(vit: VisionTransformer, tokens: Tensor) -> Tensor:
    """Attention of the class token in the last block, a share of 1 per head: (H, 1 + R + N).

    Args:
        vit: The backbone.
        tokens: What enters its last block, of one image: (1, 1 + R + N, D).
    """
    block = vit.blocks[-1]
    assert isinstance(block, Block)
    qkv = block.attn.qkv(block.norm1(tokens[0])).unflatten(1, (3, block.attn.num_heads, -1))
    query, key, _ = qkv.unbind(1)  # each (1 + R + N, H, d)
    scores = torch.einsum("hd,nhd->hn", query[0], key) * query.shape[-1] ** -0.5
    return scores.softmax(dim=1)
