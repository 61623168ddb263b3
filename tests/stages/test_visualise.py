"""src/visualise.py: three plates of a tiny backbone; its command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.stages.command import command

import visualise
from sauropod.visualise.config import Visualise


def _paint(labelled: Path, folder: Path, **flags: object) -> list[bytes]:
    outputs = {name: folder / f"{name}.png" for name in ("pca", "matches", "attention")}
    knobs = Visualise(images=(str(labelled / "val" / "a"),), size=64, count=3)
    visualise.main(knobs=knobs, **outputs, **flags)
    assert sorted(path.name for path in folder.iterdir()) == [
        "attention.png",
        "matches.png",
        "pca.png",
    ]
    return [path.read_bytes() for path in outputs.values()]


def test_plates_are_written_and_repeat(tmp_path: Path, labelled: Path, tiny_backbone: Path) -> None:
    first = _paint(labelled, tmp_path / "first", backbone=tiny_backbone)
    again = _paint(labelled, tmp_path / "again", backbone=tiny_backbone)
    assert first == again
    assert first != _paint(labelled, tmp_path / "random", random_like=tiny_backbone)
    pca = np.asarray(Image.open(tmp_path / "first" / "pca.png"))
    assert pca.shape[0] == 2 * 64 + 3 * 8
    assert len(np.unique(pca[-72:].reshape(-1, 3), axis=0)) > 3


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--backbone", "{weights}", "--images", "{data}/none"], "no such file"),
        (["--backbone", "{weights}", "--images"], "two pictures that can be read, found 0"),
        (["--images", "{data}"], "--backbone: expected a backbone, found none"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, labelled: Path, tiny_backbone: Path, flags: list[str], words: str
) -> None:
    out = tmp_path / "out"
    outputs = [
        word for name in ("pca", "matches", "attention") for word in (f"--{name}", out / name)
    ]
    spelt = [flag.format(weights=tiny_backbone, data=labelled) for flag in flags]
    ended = command("visualise", *outputs, *spelt)
    assert ended.returncode == 2
    assert words in ended.stderr.splitlines()[-1]
    assert not out.exists()
