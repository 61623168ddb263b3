"""The model that is measured: a backbone from a file, an untrained one like it, or no backbone."""

from pathlib import Path

from sauropod.errors import InputError
from sauropod.evaluate.backbone import backbone_extractor
from sauropod.evaluate.colour import colour_extractor
from sauropod.evaluate.features import Extractor
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.models.weights import load_backbone


def load_subject(
    backbone: Path | None, random_like: Path | None, *, seed: int, device: str
) -> VisionTransformer | None:
    """Read the backbone to measure, in evaluation mode on the device; None without any.

    Args:
        backbone: Weights: ours, Meta's, of Hugging Face or timm.
        random_like: Weights whose architecture is measured, initialised anew.
        seed: Of that initialisation.
        device: cpu or cuda.

    Raises:
        InputError: both are given, or no backbone is in the file.
    """
    if backbone and random_like:
        flag, found = "--random-like", "--backbone too"
        raise InputError(flag, expected="one model", found=found, fix="give one of them")
    path = backbone or random_like
    if path is None:
        return None
    vit, knobs = load_backbone(path)
    if random_like:
        vit = build_vit(knobs, seed=seed)
    return vit.to(device).eval().requires_grad_(requires_grad=False)


def global_extractor(
    vit: VisionTransformer | None, *, num_blocks: int, resize: int, crop: int
) -> Extractor:
    """What turns images into global features; the colour floor without a backbone.

    Args:
        vit: What `load_subject` found.
        num_blocks: Last blocks kept; all of a backbone that has fewer.
        resize: Short side after the resize, pixels.
        crop: Side of the centre crop, pixels.
    """
    if vit is None:
        return colour_extractor()
    kept = min(num_blocks, len(vit.blocks))
    return backbone_extractor(vit, num_blocks=kept, resize=resize, crop=crop)
