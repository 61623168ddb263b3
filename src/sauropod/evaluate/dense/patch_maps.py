"""A frozen backbone as maps of patch tokens, which the dense heads read.

Shapes: B images of H x W pixels, p patch size, h x w patches, D width, L layers.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sauropod.models.vit import VisionTransformer

COLOUR_WIDTH = 6


class PatchMap(NamedTuple):
    """What one layer says about every image."""

    patches: Tensor
    """(B, D, h, w)."""
    cls_token: Tensor
    """(B, D)."""


class Mapper(NamedTuple):
    """What turns images into patch maps: layers of a frozen backbone, or the colour floor."""

    forward: Callable[[Tensor], list[PatchMap]]
    """(B, 3, H, W) normalised, sides multiples of the patch size -> one map per layer."""
    patch_size: int
    width: int
    """D."""
    num_layers: int
    """L."""


def vit_mapper(vit: VisionTransformer, *, layers: Sequence[int], norm: bool) -> Mapper:
    """Maps of chosen blocks of a backbone in evaluation mode.

    Args:
        vit: Backbone.
        layers: Block numbers from 0, ascending; a shallow backbone may repeat one.
        norm: Whether to apply the final norm to each.
    """
    unique = sorted(set(layers))

    def forward(images: Tensor) -> list[PatchMap]:
        height, width = (side // vit.patch_size for side in images.shape[-2:])
        found = vit.get_intermediate_layers(images, layers=unique, norm=norm)
        maps = [
            PatchMap(one.patch_tokens.transpose(1, 2).unflatten(2, (height, width)), one.cls_token)
            for one in found
        ]
        return [maps[unique.index(layer)] for layer in layers]

    return Mapper(forward, vit.patch_size, vit.embed_dim, len(layers))


def colour_mapper(*, patch_size: int, num_layers: int) -> Mapper:
    """The floor: mean and deviation of every patch's colours; "layers" are all the same."""

    def forward(images: Tensor) -> list[PatchMap]:
        mean = F.avg_pool2d(images, patch_size)
        square = F.avg_pool2d(images**2, patch_size)
        patches = torch.cat([mean, (square - mean**2).clamp_min(0).sqrt()], dim=1)
        return [PatchMap(patches, patches.mean(dim=(2, 3)))] * num_layers

    return Mapper(forward, patch_size, COLOUR_WIDTH, num_layers)


def last_blocks(vit: VisionTransformer | None, *, floor_patch: int) -> Callable[[int], Mapper]:
    """What reads the last n blocks after the final norm; the colour floor without a backbone."""

    def mapper_of(num_blocks: int) -> Mapper:
        if vit is None:
            return colour_mapper(patch_size=floor_patch, num_layers=num_blocks)
        depth = len(vit.blocks)
        layers = range(depth - min(num_blocks, depth), depth)
        return vit_mapper(vit, layers=layers, norm=True)

    return mapper_of


def quarter_blocks(vit: VisionTransformer | None, *, floor_patch: int) -> Mapper:
    """What reads the ends of the four quarters before the final norm, or the colour floor."""
    if vit is None:
        return colour_mapper(patch_size=floor_patch, num_layers=4)
    return vit_mapper(vit, layers=quarter_layers(len(vit.blocks)), norm=False)


def quarter_layers(depth: int) -> tuple[int, ...]:
    """The four blocks that the published depth heads read: the ends of the quarters.

    Of 24 blocks the first is the fifth, as published, not the sixth.
    """
    first = 5 if depth == 24 else math.ceil(depth / 4)
    return tuple(max(1, end) - 1 for end in (first, *(math.ceil(depth * k / 4) for k in (2, 3, 4))))


@torch.no_grad()
def patch_maps(mapper: Mapper, images: Tensor) -> list[PatchMap]:
    """Maps of images of any size, padded evenly on all sides to whole patches.

    The padding is 0, the mean colour; an odd row or column goes to the bottom or right. As in the
    reference the maps stand for the padded image and are later resized to the unpadded one.
    """
    missing = [-side % mapper.patch_size for side in images.shape[-2:]]
    top, left = (side // 2 for side in missing)
    padding = (left, missing[1] - left, top, missing[0] - top)
    return mapper.forward(F.pad(images, padding) if any(padding) else images)
