"""src/describe.py: one shard in process, and its command line."""

import io as std_io
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import describe
from sauropod import io, schema
from sauropod.config import Describe, SscdArch
from sauropod.models import sscd, sscd_files

SCRIPT = Path(describe.__file__)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    rows = []
    with io.TarWriter(tmp_path / "s.tar") as tar:
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 256, (24, 20, 3), np.uint8)
            buffer = std_io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            data = buffer.getvalue() if i != 1 else b"junk"
            offset = tar.add(f"{i}.png", data)
            rows.append(
                {
                    "image_id": i,
                    "status": "ok",
                    "tar": str(tmp_path / "s.tar"),
                    "offset": offset,
                    "num_bytes": len(data),
                }
            )
    images = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    made_by = io.stamp("ingest", knobs={}, inputs=[])
    schema.write(images, tmp_path / "s.parquet", schema.IMAGES, made_by=made_by)
    arch = SscdArch(trunk="resnet18", width=8, dim=16)
    sscd_files.save(sscd.create(arch, seed=0), tmp_path / "w.safetensors")
    names = {"images": "s.parquet", "sscd": "w.safetensors"}
    return {flag: tmp_path / name for flag, name in names.items()}


def test_describes_and_counts(tmp_path: Path, inputs: dict[str, Path]) -> None:
    out, summary = tmp_path / "out/crawl-00000.parquet", tmp_path / "out/summary.parquet"
    describe.main(
        **inputs, shard="crawl-00000", out=out, summary=summary, knobs=Describe(resolution=32)
    )
    found = schema.read(out, schema.DESCRIPTORS)
    assert found["image_id"].to_list() == [0, 2]
    assert schema.vectors(found, "descriptor").shape == (2, 16)
    rows = schema.read(summary, schema.SUMMARY)
    assert dict(zip(rows["reason"], rows["rows"], strict=True)) == {"kept": 2, "not_an_image": 1}


def test_help() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True
    )
    assert "--sscd" in done.stdout
    assert "--resolution" in done.stdout


def test_bad_input_is_one_sentence(tmp_path: Path, inputs: dict[str, Path]) -> None:
    inputs["sscd"].write_bytes(b"junk")
    words = [sys.executable, str(SCRIPT), "--out", str(tmp_path / "out/o.parquet"), "--shard", "x"]
    words += ["--summary", str(tmp_path / "out/s.parquet")]
    for flag, path in inputs.items():
        words += [f"--{flag}", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "w.safetensors: expected SSCD weights" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
