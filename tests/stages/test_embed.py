"""src/embed.py: a tiny backbone on four images, from the command line to the table."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tests.stages.command import command, summary_of

import embed
from sauropod import schema
from sauropod.config import Embed
from sauropod.io import TarWriter
from sauropod.models.vit import build_vit
from sauropod.models.weights import save_backbone
from sauropod.train.config import Backbone

KNOBS = Backbone(
    arch="vit_small",
    patch_size=8,
    image_size=16,
    ffn="mlp",
    drop_path=0.0,
    embed_dim=24,
    depth=1,
    num_heads=2,
)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    rng, rows = np.random.default_rng(0), []
    with TarWriter(tmp_path / "in.tar") as tar:
        for i in range(4):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(buffer, "PNG")
            data = buffer.getvalue() if i else b"junk"
            row = {"image_id": i, "tar": str(tmp_path / "in.tar"), "status": "ok"}
            rows.append({**row, "offset": tar.add(f"{i}", data), "num_bytes": len(data)})
    frame = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    schema.write(frame, tmp_path / "in.parquet", schema.IMAGES, made_by={})
    copies = [{"image_id": i, "kept": i != 3} for i in range(4)]
    verdicts = pl.DataFrame(copies, schema=dict(schema.COPIES.columns))
    schema.write(verdicts, tmp_path / "copies.parquet", schema.COPIES, made_by={})
    save_backbone(tmp_path / "b.safetensors", build_vit(KNOBS, seed=0), knobs=KNOBS, stamp={})
    return {"images": tmp_path / "in.parquet", "backbone": tmp_path / "b.safetensors"}


@pytest.mark.parametrize(("pool", "kept"), [(True, [1, 2]), (False, [1, 2, 3])])
def test_kept_images_only(
    inputs: dict[str, Path], tmp_path: Path, pool: bool, kept: list[int]
) -> None:
    out, summary = tmp_path / "out/e.parquet", tmp_path / "out/s.parquet"
    copies = (tmp_path / "copies.parquet",) if pool else ()
    knobs = Embed(resize=18, crop=16)
    embed.main(**inputs, shard="x", out=out, summary=summary, knobs=knobs, copies=copies)
    found = schema.read(out, schema.EMBEDDINGS)
    assert found["image_id"].to_list() == kept
    vectors = schema.vectors(found, "embedding").astype(np.float32)
    assert vectors.shape == (len(kept), 24)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    expected = {("embed", "kept"): len(kept), ("embed", "not_an_image"): 1}
    assert summary_of(summary) == expected | ({("embed", "not_kept"): 1} if pool else {})
    assert pl.read_parquet_metadata(out)["lacks"] == "[0]"


def test_command_line(inputs: dict[str, Path], tmp_path: Path) -> None:
    assert "--crop" in command("embed", "--help").stdout
    flags = ("--shard", "x", "--out", tmp_path / "o/e", "--summary", tmp_path / "o/s")
    done = command("embed", "--images", inputs["images"], "--backbone", inputs["images"], *flags)
    assert done.returncode == 2
    assert not (tmp_path / "o").exists()
