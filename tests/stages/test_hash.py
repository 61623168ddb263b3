"""src/hash.py: equal descriptors have equal hashes; pixels are read from tars."""

import io
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from tests.stages.command import command, script, summary_of
from tests.stages.conftest import COPIES, TWINS, UNIQUE, Run

from sauropod import schema
from sauropod.config import Hash
from sauropod.io import TarWriter


def test_twins_share_a_hash_and_copies_nearly(curation: Run) -> None:
    frame = schema.read(curation.in_blocks("hash"), schema.PCA_HASHES)
    images = schema.read(curation.pool("images"), schema.IMAGES)
    ordered = frame.join(images, on="image_id").sort(pl.col("num_bytes"))
    hashes = ordered["pca_hash"].to_numpy()
    twins = hashes[UNIQUE + COPIES : UNIQUE + COPIES + TWINS]
    np.testing.assert_array_equal(twins, hashes[COPIES : COPIES + TWINS])
    assert len(np.unique(hashes)) == len(hashes) - TWINS
    kept = {("hash", "kept"): len(curation.world.pool)}
    total = [summary_of(curation.at("hash_summary", name)) for name in curation.blocks]
    assert {("hash", "kept"): sum(part["hash", "kept"] for part in total)} == kept


def test_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    with TarWriter(tmp_path / "a.tar") as tar:
        for i in range(80):
            buffer = io.BytesIO()
            pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(buffer, "PNG")
            data = buffer.getvalue() if i else b"junk"
            row = {"image_id": i, "tar": str(tmp_path / "a.tar"), "status": "ok"}
            rows.append({**row, "offset": tar.add(f"{i}", data), "num_bytes": len(data)})
    images = tmp_path / "a.parquet"
    frame = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    schema.write(frame, images, schema.IMAGES, made_by={})
    knobs, pca = Hash(features="pixels"), tmp_path / "pca.safetensors"
    script("fit_hash").main(out=pca, knobs=knobs, images=(images,))
    out, summary = tmp_path / "hash.parquet", tmp_path / "summary.parquet"
    script("hash").main(pca=pca, block="a", out=out, summary=summary, knobs=knobs, images=(images,))
    assert schema.read(out, schema.PCA_HASHES)["image_id"].to_list() == list(range(1, 80))
    assert summary_of(summary) == {("hash", "kept"): 79, ("hash", "not_an_image"): 1}


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--features" in command("hash", "--help").stdout
    flags = ("--block", "a", "--out", tmp_path / "h", "--summary", tmp_path / "s")
    inputs = ("--descriptors", curation.at("describe", curation.shards[0]))
    done = command("hash", *flags, *inputs, "--pca", tmp_path / "missing")
    assert done.returncode == 2
    assert "fit_hash.py" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
