"""src/screen.py: one shard in process, and its command line."""

import io as std_io
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch import nn

import screen
from sauropod import io, schema
from sauropod.config import Screen
from sauropod.screen import onnx_file

SCRIPT = Path(screen.__file__)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """A shard of three images, a classifier that fears red and a face detector that likes green."""
    rng, rows = np.random.default_rng(0), []
    with io.TarWriter(tmp_path / "s.tar") as tar:
        for i, colour in enumerate([(90, 90, 90), (255, 0, 0), (0, 255, 0)]):
            pixels = rng.integers(80, 120, (32, 32, 3), np.uint8)
            pixels[8:24, 8:24] = colour
            buffer = std_io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            offset = tar.add(f"{i}.png", buffer.getvalue())
            row = {
                "image_id": i,
                "status": "ok",
                "tar": str(tmp_path / "s.tar"),
                "offset": offset,
                "format": "png",
            }
            rows.append(row | {"num_bytes": len(buffer.getvalue())})
    images = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    made_by = io.stamp("ingest", knobs={}, inputs=[])
    schema.write(images, tmp_path / "s.parquet", schema.IMAGES, made_by=made_by)
    nsfw = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    faces = nn.Sequential(nn.Conv2d(3, 5, 8, 8))
    with torch.no_grad():
        for net, channel, sign in ((nsfw, 1, 10), (faces, 0, 20 / 64)):
            net[0].weight.zero_()
            net[0].bias.zero_()
            colour = [1.0, -1, -1] if channel else [-1.0, 1, -1]
            net[0].weight[channel] = sign * torch.tensor(colour).view(3, 1, 1)
            net[0].bias[channel] = -20 if channel else -15
    onnx_file.write(nsfw.eval(), tmp_path / "n.onnx", size=32, output="unsafe", metadata={})
    onnx_file.write(faces.eval(), tmp_path / "f.onnx", size=32, output="grid", metadata={})
    names = {"images": "s.parquet", "nsfw": "n.onnx", "faces": "f.onnx"}
    return {flag: tmp_path / name for flag, name in names.items()}


def outputs(folder: Path) -> dict[str, Path]:
    names = {"out": "a.parquet", "out_tar": "t.tar"}
    names |= {"screened": "c.parquet", "summary": "d.parquet"}
    return {flag: folder / "out" / name for flag, name in names.items()}


def test_rows_add_up(tmp_path: Path, inputs: dict[str, Path]) -> None:
    out = outputs(tmp_path)
    screen.main(
        **inputs, **out, shard="crawl-00000", knobs=Screen(faces_format="grid", nsfw_threshold=0.9)
    )
    images = schema.read(out["out"], schema.IMAGES)
    assert images["status"].to_list() == ["ok", "unsafe", "ok"]
    screened = schema.read(out["screened"], schema.SCREENED)
    assert screened["blurred"].to_list() == [False, False, True]
    assert screened["nsfw_model"][0] == io.sha256_file(inputs["nsfw"])[:16]
    summary = schema.read(out["summary"], schema.SUMMARY)
    assert dict(zip(summary["reason"], summary["rows"], strict=True)) == {"kept": 2, "unsafe": 1}
    assert set(summary["shard"]) == {"crawl-00000"}
    assert len(list(io.tar_members(out["out_tar"]))) == 2


def test_help() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True
    )
    assert "--out-tar" in done.stdout
    assert "--nsfw-threshold" in done.stdout


def test_bad_input_is_one_sentence(tmp_path: Path, inputs: dict[str, Path]) -> None:
    inputs["nsfw"].write_bytes(b"junk")
    words = [sys.executable, str(SCRIPT), "--shard", "crawl-00000"]
    for flag, path in (inputs | outputs(tmp_path)).items():
        words += [f"--{flag.replace('_', '-')}", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "n.onnx: expected an ONNX model" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
