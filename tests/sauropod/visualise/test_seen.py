import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sauropod.models.layers import Group
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train.augment import normalise
from sauropod.train.config import Backbone
from sauropod.visualise.seen import class_attention, fitted, see


@pytest.fixture(params=[0, 3], ids=["plain", "registers"])
def vit(request: pytest.FixtureRequest) -> VisionTransformer:
    knobs = Backbone(
        arch="vit_tiny",
        patch_size=8,
        image_size=32,
        ffn="mlp",
        embed_dim=24,
        depth=3,
        num_heads=3,
        num_registers=request.param,
    )
    return build_vit(knobs, seed=4).eval()


@pytest.fixture
def image() -> Image.Image:
    random = np.random.Generator(np.random.Philox(key=2))
    return Image.fromarray(random.integers(0, 256, (30, 50, 3), np.uint8))


@pytest.mark.parametrize(
    ("size", "given", "wanted"),
    [(64, (50, 30), (64, 40)), (64, (30, 50), (40, 64)), (32, (400, 3), (32, 8))],
)
def test_fitted(size: int, given: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert fitted(Image.new("RGB", given), size=size, patch=8).size == wanted


def test_see(vit: VisionTransformer, image: Image.Image) -> None:
    found = see(vit, image, size=64)
    assert found.grid == (5, 8)
    assert found.image.size == (64, 40)
    pixels = torch.from_numpy(np.array(found.image).transpose(2, 0, 1))[None]
    with torch.no_grad():
        expected = vit.forward_features([normalise(pixels)])[0]
    torch.testing.assert_close(found.tokens, expected.patch_tokens[0])
    assert found.attention.shape == (3, 40)
    assert (found.attention.sum(1) < 1).all()
    again = see(vit, image, size=64)
    assert torch.equal(found.tokens, again.tokens)
    assert torch.equal(found.attention, again.attention)


def test_class_attention_is_what_the_block_mixes_values_by(vit: VisionTransformer) -> None:
    tokens = torch.randn(
        1, 1 + vit.num_registers + 16, 24, generator=torch.Generator().manual_seed(0)
    )
    attn, norm = vit.blocks[-1].attn, vit.blocks[-1].norm1
    assert isinstance(norm, nn.LayerNorm)
    with torch.no_grad():
        weights = class_attention(vit, tokens)
        values = attn.qkv(norm(tokens[0])).unflatten(1, (3, 3, 8))[:, 2]
        mixed = attn.proj(torch.einsum("hn,nhd->hd", weights, values).flatten())
        layout = (Group(1, tokens.shape[1]),)
        expected = attn(tokens[0], norm=norm, gamma=None, layout=layout)[0]
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_attention_is_that_before_the_last_mlp(vit: VisionTransformer, image: Image.Image) -> None:
    before = see(vit, image, size=32)
    with torch.no_grad():
        vit.blocks[-1].mlp.fc1.weight.mul_(2.0)
        after = see(vit, image, size=32)
        assert torch.equal(before.attention, after.attention)
        vit.blocks[-2].mlp.fc1.weight.mul_(2.0)
    assert not torch.equal(before.attention, see(vit, image, size=32).attention)
