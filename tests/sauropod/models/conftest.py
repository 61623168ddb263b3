"""Tiny backbones whose every parameter shows in the features."""

from collections.abc import Callable

import pytest
import torch

from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train.config import Backbone

MakeVit = Callable[..., tuple[VisionTransformer, Backbone]]


def tiny_vit(*, ffn: str = "mlp", registers: int = 0, **knobs: object) -> tuple:
    """Two blocks, two heads 64 wide, patches of 7 pixels, positions for 4 x 4 of them."""
    given = {
        "arch": "vit_tiny", "embed_dim": 128, "depth": 2, "num_heads": 2, "patch_size": 7,
        "image_size": 28, "ffn": ffn, "num_registers": registers, "layerscale": 1.0,
        "drop_path": 0.0, "interpolate_offset": 0.0 if registers else 0.1,
        "interpolate_antialias": registers > 0, **knobs,
    }  # fmt: skip
    backbone = Backbone(**given)  # pyright: ignore[reportArgumentType]
    vit = build_vit(backbone, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return vit, backbone


@pytest.fixture(scope="session")
def make_vit() -> MakeVit:
    """`tiny_vit`: a backbone in evaluation mode and its knobs."""
    return tiny_vit
