"""Descriptors of a shard: preprocessing by hand, row order, bad rows, batch independence."""

import io as std_io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from sauropod import io, schema
from sauropod.config import Describe, SscdArch
from sauropod.dedup import descriptors
from sauropod.models import sscd

MODEL = sscd.create(SscdArch(trunk="resnet18", width=8, dim=16), seed=0).eval()


@pytest.mark.parametrize(
    ("size", "mode", "expected"),
    [
        ((40, 80), "short", (16, 32)),
        ((80, 40), "short", (32, 16)),
        ((33, 50), "short", (16, 24)),
        ((30, 50), "short", (16, 26)),  # 26.7 rounded down
        ((10, 400), "short", (16, 64)),  # the long side ends at four times the short one
        ((40, 80), "square", (16, 16)),
    ],
)
def test_size(size: tuple[int, int], mode: str, expected: tuple[int, int]) -> None:
    found = descriptors.resize(Image.new("RGB", size), mode=mode, resolution=16)
    assert found.shape == (expected[1], expected[0], 3)


@pytest.mark.parametrize("mode", ["short", "square"])
def test_resize_against_torchs_antialiased_bilinear(mode: str) -> None:
    small = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    image = Image.fromarray(small).resize((301, 222), Image.Resampling.BICUBIC)
    found = descriptors.resize(image, mode=mode, resolution=48)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(
        pixels, found.shape[:2], mode="bilinear", antialias=True
    )
    difference = torch.from_numpy(found.copy()).float() - expected[0].permute(1, 2, 0)
    assert difference.abs().max() < 1.01


def test_normalise_by_hand() -> None:
    pixels = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    found = descriptors.normalise(pixels).flatten().tolist()
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225]
    assert found == pytest.approx(expected, rel=1e-5)


def shard(folder: Path) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    name = str(folder / "s.tar")
    with io.TarWriter(folder / "s.tar") as tar:
        for i, size in enumerate([(40, 30), (30, 40), (40, 30), None, (64, 64)]):
            buffer = std_io.BytesIO(b"junk")
            if size is not None:
                pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).save(buffer, "PNG")
            data = buffer.getvalue()
            offset = tar.add(f"{i}.png", data)
            rows.append(
                {
                    "image_id": i,
                    "status": "ok",
                    "tar": name,
                    "offset": offset,
                    "num_bytes": len(data),
                }
            )
    rows.insert(1, {"image_id": 77, "status": "unsafe"})
    return pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))


def described(
    table: pl.DataFrame, *, model: sscd.Sscd = MODEL, **knobs: object
) -> tuple[pl.DataFrame, dict]:
    return descriptors.describe_shard(
        table,
        model=model,
        knobs=Describe(resolution=32, **{"resize": "short", **knobs}),
        device=torch.device("cpu"),
        batch_size=3,
        num_threads=2,
    )


@pytest.mark.parametrize("mode", ["short", "square"])
def test_shard(tmp_path: Path, mode: str) -> None:
    table = shard(tmp_path)
    frame, dropped = described(table, resize=mode)
    assert frame["image_id"].to_list() == [0, 1, 2, 4]
    assert dropped == {"not_an_image": 1}
    found = schema.vectors(frame, "descriptor").astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=2e-3)
    # One by one, through the formula.
    for row, image_id in enumerate(frame["image_id"]):
        place = table.row(by_predicate=pl.col("image_id") == image_id, named=True)
        data = io.read_range(
            tmp_path / "s.tar", offset=place["offset"], num_bytes=place["num_bytes"]
        )
        image = Image.open(std_io.BytesIO(data)).convert("RGB")
        pixels = descriptors.resize(image, mode=mode, resolution=32)
        with torch.no_grad():
            one = MODEL(descriptors.normalise(torch.from_numpy(pixels.copy())[None]))
        np.testing.assert_allclose(found[row], one[0].numpy(), atol=2e-3)


def test_nothing_to_describe(tmp_path: Path) -> None:
    table = shard(tmp_path).filter(pl.col("status") != "ok")
    frame, dropped = described(table)
    assert frame.schema == dict(schema.DESCRIPTORS.columns)
    assert frame.is_empty()
    assert dropped == {}


@pytest.mark.parametrize("bias", [0.0, float("nan")])
def test_images_without_a_direction_are_counted(tmp_path: Path, bias: float) -> None:
    model = sscd.create(SscdArch(trunk="resnet18", width=8, dim=16), seed=0).eval()
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.fill_(bias)
    frame, dropped = described(shard(tmp_path), model=model)
    assert frame.is_empty()
    assert dropped == {"not_an_image": 1, "bad_descriptor": 4}
