"""What trained heads say of pictures, laid over them: label maps and depth maps.

Shapes: H, W height and width of a picture in pixels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sauropod.evaluate.dense import depth, segmentation
from sauropod.evaluate.dense.head_file import load_depth, load_segmentation
from sauropod.evaluate.dense.overlay import depth_colours, label_colours, overlay
from sauropod.evaluate.dense.patch_maps import last_blocks, quarter_blocks
from sauropod.models.vit import VisionTransformer
from sauropod.visualise import paint
from sauropod.visualise.seen import fitted

BATCH = 8
Painted = list[np.ndarray]
"""Per picture (H, W, 3) uint8."""


def overlay_plate(
    pictures: Sequence[Image.Image],
    vit: VisionTransformer,
    *,
    segmentation_heads: Sequence[Path],
    depth_heads: Sequence[Path],
    size: int,
    device: str,
) -> Image.Image:
    """Pictures above, and below a row per head.

    Args:
        pictures: One or more.
        vit: The backbone the heads were trained on, on `device`.
        segmentation_heads: What evaluate_segmentation wrote.
        depth_heads: What evaluate_depth wrote.
        size: Longer side that is shown, pixels.
        device: Where.

    Raises:
        InputError: a file holds no such heads, or those of another backbone.
    """
    shown = [np.asarray(fitted(one, size=size, patch=vit.patch_size)) for one in pictures]
    rows = [shown]
    for path in segmentation_heads:
        rows += _segmented(path, vit, shown, device)
    for path in depth_heads:
        rows += _measured(path, vit, shown, device)
    return paint.plate([[Image.fromarray(pixels) for pixels in row] for row in rows])


def _segmented(
    path: Path, vit: VisionTransformer, pictures: Painted, device: str
) -> Iterator[Painted]:
    """Label maps of every head of a file."""
    mapper_of = last_blocks(vit, floor_patch=vit.patch_size)
    file = load_segmentation(path, mapper_of=mapper_of, device=device)
    for name in file.knobs.heads:
        recipe = segmentation.recipe_of(name, knobs=file.knobs)
        head, mapper, row = file.heads[name], mapper_of(recipe.num_blocks), []
        for image in pictures:
            labels = segmentation.predict(
                head, mapper, image, recipe=recipe, batch_size=BATCH, device=device
            )
            row.append(overlay(image, label_colours(labels, num_classes=len(file.classes))))
        yield row


def _measured(
    path: Path, vit: VisionTransformer, pictures: Painted, device: str
) -> Iterator[Painted]:
    """Depth maps of every head of a file, each from its own nearest to its farthest."""
    mapper = quarter_blocks(vit, floor_patch=vit.patch_size)
    file = load_depth(path, mapper=mapper, device=device)
    found = [
        depth.predict(
            file.heads, mapper, image, protocol=file.protocol, flip=file.knobs.flip, device=device
        )
        for image in pictures
    ]
    for name in file.heads:
        row = []
        for image, metres in zip(pictures, (maps[name] for maps in found), strict=True):
            near, far = float(metres.min()), float(metres.max())
            row.append(overlay(image, depth_colours(metres, near=near, far=max(far, 1.01 * near))))
        yield row
