"""A frozen backbone as an extractor of features.

Shapes: B batch, S image side in pixels, L last blocks kept, D width.
"""

import numpy as np
import torch
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.features import Extractor
from sauropod.models.vit import VisionTransformer
from sauropod.train.augment import eval_crop, normalise


def backbone_extractor(
    vit: VisionTransformer, *, num_blocks: int, resize: int, crop: int
) -> Extractor:
    """Features of the last `num_blocks` blocks, after the final norm, of the evaluation crop.

    Args:
        vit: Backbone in evaluation mode.
        num_blocks: L.
        resize: Short side after the resize, pixels.
        crop: S, a multiple of the patch size.

    Raises:
        InputError: the crop does not fit the resize or the patches, or the backbone is too shallow.
    """
    if crop > resize or crop % vit.patch_size:
        flag = "--crop"
        raise InputError(
            flag,
            expected=f"a multiple of the patch size {vit.patch_size}, at most --resize {resize}",
            found=str(crop),
            fix="set crop and resize to fit",
        )
    if num_blocks > len(vit.blocks):
        flag = "--num-blocks"
        raise InputError(
            flag,
            expected=f"at most the backbone's {len(vit.blocks)} blocks",
            found=str(num_blocks),
            fix="ask for fewer blocks",
        )

    def prepare(image: Image.Image) -> np.ndarray:
        return eval_crop(image, resize=resize, crop=crop)

    def forward(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = vit.get_intermediate_layers(normalise(pixels), layers=num_blocks)
        cls = torch.stack([block.cls_token for block in found], dim=1)  # (B, L, D)
        return cls, found[-1].patch_tokens.mean(dim=1)

    return Extractor(prepare, forward)
