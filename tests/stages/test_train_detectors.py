"""src/train_detectors.py: writes two loadable ONNX files; its command line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

import train_detectors
from sauropod.demo.config import TrainDetectors
from sauropod.screen import detectors

SCRIPT = Path(train_detectors.__file__)


def test_writes_both_models(tmp_path: Path) -> None:
    for name, colour in (("nsfw/safe", 90), ("nsfw/unsafe", 200), ("faces/images", 120)):
        (tmp_path / name).mkdir(parents=True)
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, colour, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.jpg")
    row = {"file": ["1.jpg"], "left": [8.0], "top": [8.0], "width": [16.0], "height": [16.0]}
    pl.DataFrame(row).write_parquet(tmp_path / "faces/boxes.parquet")
    knobs = TrainDetectors(nsfw_steps=2, faces_steps=2, batch_size=4, faces_size=48)
    nsfw, faces = tmp_path / "out/nsfw.onnx", tmp_path / "out/faces.onnx"
    train_detectors.main(tmp_path, nsfw, faces, knobs)
    assert detectors.load(nsfw, size=0, device="cpu", num_threads=1).size == knobs.nsfw_size
    assert detectors.load(faces, size=0, device="cpu", num_threads=1).size == 48


def test_help() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True
    )
    assert "--faces-steps" in done.stdout


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    words = [sys.executable, SCRIPT, "--detectors", tmp_path / "none"]
    words += ["--nsfw", tmp_path / "n.onnx", "--faces", tmp_path / "f.onnx"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a folder of images" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
