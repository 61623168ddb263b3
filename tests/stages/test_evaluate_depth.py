"""src/evaluate_depth.py: from a backbone and a set to METRICS and heads."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import evaluate_depth
from sauropod import cli, schema
from sauropod.evaluate.dense.config import Depth

KNOBS = Depth(steps=4, batch_size=2, num_bins=16, channels=8, crop_size=(24, 32), floor_patch=8)


def _pair(root: Path, name: str, *, metres: float, scale: int) -> str:
    image = np.full((480, 640) if scale == 8 else (36, 48), 30 * metres, np.uint8)
    root.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(root / f"{name}.jpg")
    depth = np.full(image.shape, 1000 * metres, np.uint16)
    Image.fromarray(depth * scale).save(root / f"{name}.png")
    return f"{name}.jpg {name}.png 50.0\n"


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    root = tmp_path / "rooms"
    for split, count in (("train", 3), ("test", 2)):
        lines = [_pair(root, f"{split}{k}", metres=k + 1, scale=1) for k in range(count)]
        (root / f"{split}.txt").write_text("".join(lines))
    return root


def _measured(folder: Path, dataset: Path, **settings: object) -> pl.DataFrame:
    out = folder / "metrics.parquet"
    evaluate_depth.main(
        model="m",
        benchmark="rooms",
        dataset=dataset,
        layout="pairs",
        head=folder / "head.safetensors",
        out=out,
        knobs=KNOBS,
        **settings,  # type: ignore[arg-type]
    )
    return schema.read(out, schema.METRICS)


def test_a_backbone_and_the_floors(tmp_path: Path, rooms: Path, tiny_backbone: Path) -> None:
    rows = _measured(tmp_path, rooms, backbone=tiny_backbone)
    assert {"linear1_rmse", "linear4_delta1", "dpt_silog"} <= set(rows["metric"])
    assert rows["value"].is_finite().all()
    assert (tmp_path / "head.safetensors").exists()
    floors = _measured(tmp_path, rooms, chance_too=True)
    chance = floors.filter(pl.col("model") == "chance", pl.col("metric") == "linear1_rmse")
    assert chance["value"].item() == pytest.approx(0.5)  # trained on 1, 2, 3: 2; tested on 1, 2
    again = _measured(tmp_path, rooms, backbone=tiny_backbone)
    assert again["value"].to_list() == rows["value"].to_list()


def test_transfer_to_sun_rgbd(tmp_path: Path, rooms: Path) -> None:
    sun = tmp_path / "sun"
    (sun / "SUNRGBD_val_splits.txt").parent.mkdir()
    (sun / "SUNRGBD_val_splits.txt").write_text(_pair(sun, "a", metres=3, scale=8))
    rows = _measured(tmp_path, rooms, transfer=sun)
    found = rows.filter(pl.col("metric") == "sun_rgbd_dpt_rmse")
    assert found["num_samples"].item() == 1
    assert 0 < found["value"].item() < 10


def test_a_missing_list_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", "m", "--benchmark", "b", "--dataset", tmp_path, "--layout", "nyu"]
    words += ["--head", tmp_path / "h", "--out", tmp_path / "o"]
    monkeypatch.setattr(sys, "argv", ["evaluate_depth.py", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.run(evaluate_depth.main)
    assert stopped.value.code == 2
    assert "nyu_train.txt" in capsys.readouterr().err.splitlines()[-1]
