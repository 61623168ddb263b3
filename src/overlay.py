"""Lay what trained heads say of pictures over them -> PNG: label maps and depth maps.

    python src/overlay.py --backbone results/adapt/main/backbone.safetensors \
        --segmentation-heads results/evaluate/adapted.ade20k.head.safetensors \
        --dense-images data/ade20k/images/validation --out overlays.png
"""

from pathlib import Path

from sauropod import cli, io
from sauropod.cli import Knobs
from sauropod.errors import InputError
from sauropod.evaluate.subject import load_subject
from sauropod.visualise.config import Visualise
from sauropod.visualise.overlays import overlay_plate
from sauropod.visualise.pictures import read_pictures


def main(
    backbone: Path,
    out: Path,
    knobs: Knobs[Visualise],
    segmentation_heads: tuple[Path, ...] = (),
    depth_heads: tuple[Path, ...] = (),
    device: str = "cpu",
) -> None:
    """Paint the plate.

    Args:
        backbone: Weights that the heads were trained on.
        out: PNG to write: pictures above, a row per head below.
        segmentation_heads: What evaluate_segmentation.py wrote for this backbone.
        depth_heads: What evaluate_depth.py wrote for this backbone.
        device: cpu or cuda.
    """
    if not (segmentation_heads or depth_heads):
        flag, fix = "--segmentation-heads", "name heads of either kind"
        raise InputError(flag, expected="trained heads", found="none", fix=fix)
    vit = load_subject(backbone, None, seed=knobs.seed, device=device)
    assert vit is not None
    chosen = tuple(map(Path, knobs.dense_images or knobs.images))
    plate = overlay_plate(
        read_pictures(chosen, count=knobs.count),
        vit,
        segmentation_heads=segmentation_heads,
        depth_heads=depth_heads,
        size=knobs.size,
        device=device,
    )
    with io.replacing(out) as temporary:
        plate.save(temporary, "PNG")


if __name__ == "__main__":
    cli.run(main)
