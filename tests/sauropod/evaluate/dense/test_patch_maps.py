import pytest
import torch
from torch.nn import functional as F

from sauropod.evaluate.dense.patch_maps import (
    colour_mapper,
    last_blocks,
    patch_maps,
    quarter_blocks,
    quarter_layers,
    vit_mapper,
)
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train.config import Backbone


@pytest.fixture(scope="module")
def vit() -> VisionTransformer:
    knobs = Backbone(
        arch="vit_tiny", embed_dim=16, depth=3, num_heads=2, patch_size=4, image_size=16
    )
    return build_vit(knobs, seed=0).eval()


def test_published_layers() -> None:
    assert quarter_layers(12) == (2, 5, 8, 11)
    assert quarter_layers(24) == (4, 11, 17, 23)
    assert quarter_layers(40) == (9, 19, 29, 39)
    assert quarter_layers(3) == (0, 1, 2, 2)
    assert quarter_layers(1) == (0, 0, 0, 0)


@pytest.mark.parametrize("norm", [True, False])
def test_maps_put_tokens_where_their_patches_are(vit: VisionTransformer, norm: bool) -> None:
    images = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    maps = patch_maps(vit_mapper(vit, layers=(0, 2, 2), norm=norm), images)
    found = vit.get_intermediate_layers(images, layers=(0, 2), norm=norm)
    assert len(maps) == 3
    assert torch.equal(maps[1].patches, maps[2].patches)
    for one, tokens in zip(maps[:2], found, strict=True):
        assert one.patches.shape == (2, 16, 2, 3)
        assert torch.equal(one.patches[0, :, 1, 2], tokens.patch_tokens[0, 5])
        assert torch.equal(one.cls_token, tokens.cls_token)
        assert not one.patches.requires_grad


def test_padding_is_even_and_the_mean_colour(vit: VisionTransformer) -> None:
    mapper = vit_mapper(vit, layers=(2,), norm=True)
    images = torch.randn(1, 3, 9, 10, generator=torch.Generator().manual_seed(1))
    by_hand = F.pad(images, (1, 1, 1, 2))  # 10 -> 12 columns, 9 -> 12 rows, the odd one below
    assert torch.equal(
        patch_maps(mapper, images)[0].patches, patch_maps(mapper, by_hand)[0].patches
    )


def test_the_floor_knows_colours_alone() -> None:
    images = torch.zeros(1, 3, 8, 8)
    images[:, 0, :4, :4] = 2
    images[:, 1, 4:, 4::2] = 1
    maps = patch_maps(colour_mapper(patch_size=4, num_layers=2), images)
    assert len(maps) == 2
    assert maps[0].patches[0, :, 0, 0].tolist() == [2, 0, 0, 0, 0, 0]
    assert maps[0].patches[0, :, 1, 1].tolist() == [0, 0.5, 0, 0, 0.5, 0]
    assert maps[0].cls_token.shape == (1, 6)


def test_segmentation_reads_the_last_blocks_normed_depth_the_quarters_raw(
    vit: VisionTransformer,
) -> None:
    images = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    normed, raw = (
        vit.get_intermediate_layers(images, layers=3, norm=norm) for norm in (True, False)
    )
    for count, first in ((1, 2), (2, 1), (4, 0)):  # of three blocks four are three
        mapper = last_blocks(vit, floor_patch=4)(count)
        assert mapper.num_layers == 3 - first
        found = patch_maps(mapper, images)
        assert torch.equal(found[0].cls_token, normed[first].cls_token)
    found = patch_maps(quarter_blocks(vit, floor_patch=4), images)
    expected = [raw[layer].cls_token for layer in (0, 1, 2, 2)]
    assert all(torch.equal(a.cls_token, b) for a, b in zip(found, expected, strict=True))
    assert last_blocks(None, floor_patch=4)(3).num_layers == 3
    assert quarter_blocks(None, floor_patch=8).patch_size == 8
