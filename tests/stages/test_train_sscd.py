"""src/train_sscd.py: weights that describe.py loads; its command line."""

import io as std_io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import train_sscd
from sauropod import io, schema
from sauropod.models import sscd_files
from sauropod.train.config import Speed, TrainSscd

SCRIPT = Path(train_sscd.__file__)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = []
    with io.TarWriter(tmp_path / "s.tar") as tar:
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, 256, (24, 20, 3), np.uint8)
            buffer = std_io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            offset = tar.add(f"{i}.png", buffer.getvalue())
            row = {"image_id": i, "status": "ok", "tar": str(tmp_path / "s.tar")}
            rows.append(row | {"offset": offset, "num_bytes": len(buffer.getvalue())})
    frame = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    schema.write(frame, tmp_path / "s.parquet", schema.IMAGES, made_by={})
    return tmp_path / "s.parquet"


def test_trains_and_writes(tmp_path: Path, table: Path) -> None:
    knobs = TrainSscd(
        arch="resnet18", width=8, dim=16, resolution=32, steps=2, batch_size=2, precision="fp32"
    )
    out, log = tmp_path / "out/w.safetensors", tmp_path / "out/log.parquet"
    speed = Speed(device="cpu", log_every=1)
    train_sscd.main((table, table), out, log, tmp_path / "ck", knobs, speed)
    model = sscd_files.load(out, device=torch.device("cpu"))
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    assert pl.read_parquet(log)["step"].to_list() == [1, 2]
    facts = json.loads((tmp_path / "out/w.json").read_text())
    assert facts["stage"] == "train_sscd"
    assert facts["images"] == 8


def test_help() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True
    )
    assert "--entropy-weight" in done.stdout
    assert "--checkpoints" in done.stdout


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    words = [sys.executable, SCRIPT, "--images", tmp_path / "none.parquet"]
    words += ["--out", tmp_path / "w.safetensors", "--log", tmp_path / "l.parquet"]
    words += ["--checkpoints", tmp_path / "ck"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a table IMAGES, found no such file" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
