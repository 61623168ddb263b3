"""Miniature dense sets in their official layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sauropod.evaluate.dense.depth_sets import DepthSet, Protocol, read_depth_set
from sauropod.evaluate.dense.segmentation_sets import SegmentationSet, read_segmentation

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("a/b.png", array)` below the test's folder; text is written as it is."""

    def written(name: str, content: np.ndarray | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content)
        elif path.suffix == ".npy":
            np.save(path, content)
        else:
            Image.fromarray(content).save(path)
        return path

    return written


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def halves(write: Write, tmp_path: Path) -> SegmentationSet:
    """Two classes that colour tells apart: red on the left is 0, blue on the right is 1."""
    write("classes.txt", "red\nblue\nignored\n")
    for split, count in (("train", 6), ("val", 3)):
        for k in range(count):
            labels = np.full((24, 32), 1, np.uint8)
            labels[:, : 8 + 2 * k] = 0
            image = np.where(labels[..., None] == 0, [200, 20, 20], [20, 20, 200]).astype(np.uint8)
            labels[:2] = 2
            write(f"{split}/images/{k}.png", image)
            write(f"{split}/masks/{k}.png", labels)
    return read_segmentation(tmp_path, layout="pairs")


@pytest.fixture
def slopes(write: Write, tmp_path: Path) -> DepthSet:
    """Depth that brightness tells: level 40 k is k metres away."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for k in range(9):
        split = "test" if k % 3 == 2 else "train"
        metres = np.linspace(1 + k / 9, 5, 32)[None].repeat(24, axis=0)
        image = np.round(40 * metres)[..., None].repeat(3, axis=2).astype(np.uint8)
        write(f"rgb/{k}.png", image)
        write(f"depth/{k}.png", np.round(1000 * metres).astype(np.uint16))
        lines[split].append(f"rgb/{k}.png depth/{k}.png 50.0")
    for split, rows in lines.items():
        write(f"{split}.txt", "\n".join(rows))
    return read_depth_set(tmp_path, layout="pairs", own=Protocol(1000, 10, "whole", (16, 24)))
