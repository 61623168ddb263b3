import pytest
import torch
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.backbone import backbone_extractor
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train.config import Backbone


@pytest.fixture(scope="module")
def vit() -> VisionTransformer:
    knobs = Backbone(
        arch="vit_tiny", patch_size=8, image_size=32, ffn="mlp", embed_dim=16, depth=3, num_heads=2
    )
    return build_vit(knobs, seed=1).eval()


def test_features_are_the_last_blocks_after_the_norm(vit: VisionTransformer) -> None:
    extractor = backbone_extractor(vit, num_blocks=2, resize=40, crop=32)
    images = [Image.new("RGB", (60, 45), colour) for colour in ("red", "navy")]
    pixels = torch.stack([torch.from_numpy(extractor.prepare(image)) for image in images])
    assert pixels.shape == (2, 3, 32, 32)
    assert pixels.dtype == torch.uint8
    with torch.inference_mode():
        cls, patch_mean = extractor.forward(pixels)
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        last = vit.forward_features([(pixels / 255 - mean) / std])[0]
    assert cls.shape == (2, 2, 16)
    torch.testing.assert_close(cls[:, -1], last.cls_token, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(patch_mean, last.patch_tokens.mean(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("num_blocks", "resize", "crop", "flag"),
    [(4, 32, 32, "--num-blocks"), (1, 32, 36, "--crop"), (1, 24, 32, "--crop")],
)
def test_knobs_that_do_not_fit_are_named(
    vit: VisionTransformer, num_blocks: int, resize: int, crop: int, flag: str
) -> None:
    with pytest.raises(InputError, match=flag):
        backbone_extractor(vit, num_blocks=num_blocks, resize=resize, crop=crop)
