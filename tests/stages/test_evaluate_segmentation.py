"""src/evaluate_segmentation.py: from a backbone and a set to METRICS and heads."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import evaluate_segmentation
from sauropod import cli, schema
from sauropod.evaluate.dense.config import Segmentation, SegmentationHead

HEAD = SegmentationHead(image_size=(48, 32), crop=32, stride=16)
KNOBS = Segmentation(linear=HEAD, multiscale=HEAD, steps=4, batch_size=2, floor_patch=8)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """ADE20K in small: sky above ground."""
    root = tmp_path / "ade"
    rng = np.random.default_rng(0)
    for split, count in (("training", 4), ("validation", 2)):
        for k in range(count):
            labels = np.where(np.arange(36)[:, None] < 12 + k, 1, 2).repeat(48, axis=1)
            image = rng.integers(0, 80, (36, 48, 3)) + 100 * (labels == 1)[..., None]
            for folder, array in (("images", image), ("annotations", labels)):
                path = root / folder / split / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array.astype(np.uint8)).save(path)
    (root / "objectInfo150.txt").write_text("Idx\tName\n1\tsky\n2\tground\n")
    return root


def _measured(folder: Path, dataset: Path, **settings: object) -> pl.DataFrame:
    out = folder / "metrics.parquet"
    evaluate_segmentation.main(
        model="m",
        benchmark="ade",
        dataset=dataset,
        layout="ade20k",
        head=folder / "head.safetensors",
        out=out,
        knobs=KNOBS,
        **settings,  # type: ignore[arg-type]
    )
    return schema.read(out, schema.METRICS)


def test_a_backbone_and_the_floors(tmp_path: Path, scenes: Path, tiny_backbone: Path) -> None:
    rows = _measured(tmp_path, scenes, backbone=tiny_backbone)
    assert {"linear_miou", "multiscale_miou", "unusable_val"} <= set(rows["metric"])
    assert rows["value"].is_between(0, 1).all()
    assert (tmp_path / "head.safetensors").exists()
    floors = _measured(tmp_path, scenes, chance_too=True)
    chance = floors.filter(pl.col("model") == "chance", pl.col("metric") == "linear_miou")
    assert chance["value"].item() == pytest.approx((1 - 12.5 / 36) / 2)
    again = _measured(tmp_path, scenes, backbone=tiny_backbone)
    assert again["value"].to_list() == rows["value"].to_list()


def test_a_missing_set_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", "m", "--benchmark", "b", "--dataset", tmp_path / "none"]
    words += ["--layout", "cityscapes", "--head", tmp_path / "h", "--out", tmp_path / "o"]
    monkeypatch.setattr(sys, "argv", ["evaluate_segmentation.py", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.run(evaluate_segmentation.main)
    assert stopped.value.code == 2
    assert "gtFine_trainvaltest.zip" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "o").exists()
