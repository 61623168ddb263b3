"""retrieve.embeddings: the backbone sees the evaluation view; one bad image is one dropped row."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch import nn

from sauropod import schema
from sauropod.config import Embed
from sauropod.io import TarWriter
from sauropod.retrieve import embeddings
from sauropod.schema import COPIES, IMAGES
from sauropod.train.augment import eval_crop, normalise

KNOBS = Embed(resize=20, crop=16)
CPU = torch.device("cpu")


class Mean(nn.Module):
    """A backbone of width 6: mean and spread of each channel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([images.mean((2, 3)), images.std((2, 3))], dim=1)


def _picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (24 + seed, 30, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def table(tmp_path: Path) -> pl.DataFrame:
    rows = []
    with TarWriter(tmp_path / "a.tar") as tar:
        for i in range(5):
            buffer = io.BytesIO()
            _picture(i).save(buffer, "PNG")
            data = buffer.getvalue() if i != 2 else b"junk"
            status = "timeout" if i == 4 else "ok"
            row = {"image_id": i, "tar": str(tmp_path / "a.tar"), "status": status}
            rows.append({**row, "offset": tar.add(f"{i}", data), "num_bytes": len(data)})
    return pl.DataFrame(rows, schema=dict(IMAGES.columns))


def _embed(table: pl.DataFrame, batch_size: int) -> tuple[pl.DataFrame, dict[str, int]]:
    options = {"knobs": KNOBS, "device": CPU, "batch_size": batch_size, "num_threads": 2}
    return embeddings.embed(table, Mean().eval(), **options)


def test_embeddings_are_the_normalised_class_tokens(table: pl.DataFrame) -> None:
    found, dropped = _embed(embeddings.kept_only(table, None), 2)
    assert found["image_id"].to_list() == [0, 1, 3]
    assert dropped == {"not_an_image": 1}
    for row, seed in enumerate([0, 1, 3]):
        crop = torch.from_numpy(eval_crop(_picture(seed), resize=20, crop=16))
        expected = Mean()(normalise(crop[None]))[0].numpy()
        expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(schema.vectors(found, "embedding")[row], expected, atol=1e-3)


def test_batch_size_changes_nothing(table: pl.DataFrame) -> None:
    usable = embeddings.kept_only(table, None)
    assert _embed(usable, 1)[0].equals(_embed(usable, 64)[0])


def test_copies_and_unusable_images_are_left_out(table: pl.DataFrame, tmp_path: Path) -> None:
    copies = pl.DataFrame(
        [{"image_id": i, "kept": i in (1, 4)} for i in range(5)], schema=dict(COPIES.columns)
    )
    path = tmp_path / "copies.parquet"
    schema.write(copies, path, COPIES, made_by={})
    assert embeddings.kept_only(table, path)["image_id"].to_list() == [1]
    found, dropped = _embed(table.clear(), 4)
    assert found.is_empty()
    assert dropped == {}
