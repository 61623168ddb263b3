"""src/overlay.py: trained heads over pictures; its command line."""

from pathlib import Path

import numpy as np
from PIL import Image
from tests.stages.command import command

import evaluate_segmentation
import overlay
from sauropod.evaluate.dense.config import Segmentation, SegmentationHead
from sauropod.visualise.config import Visualise

HEAD = SegmentationHead(image_size=(48, 32), crop=32, stride=16)
HEADS = Segmentation(heads=("linear",), linear=HEAD, steps=2, batch_size=2)


def _scenes(root: Path) -> Path:
    """ADE20K in small."""
    for split in ("training", "validation"):
        for k in range(2):
            labels = np.where(np.arange(32)[:, None] < 12 + k, 1, 2).repeat(48, axis=1)
            for folder, array in (("images", 100 * labels), ("annotations", labels)):
                path = root / folder / split / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array.astype(np.uint8)).save(path)
    (root / "objectInfo150.txt").write_text("Idx\tName\n1\tsky\n2\tground\n")
    return root


def test_trained_heads_are_laid_over_pictures(tmp_path: Path, tiny_backbone: Path) -> None:
    root, head = _scenes(tmp_path / "ade"), tmp_path / "head.safetensors"
    evaluate_segmentation.main(
        model="m",
        benchmark="ade",
        dataset=root,
        layout="ade20k",
        head=head,
        out=tmp_path / "metrics.parquet",
        knobs=HEADS,
        backbone=tiny_backbone,
    )
    out = tmp_path / "overlays.png"
    knobs = Visualise(dense_images=(str(root / "images" / "validation"),), size=48)
    overlay.main(backbone=tiny_backbone, out=out, knobs=knobs, segmentation_heads=(head,))
    with Image.open(out) as plate:
        assert plate.size == (2 * 48 + 3 * 8, 2 * 32 + 3 * 8)


def test_without_heads_it_is_one_sentence(tmp_path: Path, tiny_backbone: Path) -> None:
    ended = command("overlay", "--backbone", tiny_backbone, "--out", tmp_path / "o.png")
    assert ended.returncode == 2
    assert "expected trained heads, found none" in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "o.png").exists()
