import base64
import io as std_io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from sauropod.report.thumbnails import SIDE, Thumbnails, outline, pixelate, shrink


def _decoded(uri: str | None) -> Image.Image:
    assert uri is not None
    assert uri.startswith("data:image/jpeg;base64,")
    return Image.open(std_io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_pictures_come_from_the_shard(shard: pl.DataFrame) -> None:
    thumbnails = Thumbnails.of(shard)
    assert _decoded(thumbnails.plain(3)).size == (43, 30)
    assert 3 in thumbnails
    assert 99 not in thumbnails
    assert thumbnails.plain(99) is None


def test_missing_places_shards_and_broken_bytes_give_none(
    shard: pl.DataFrame, tmp_path: Path
) -> None:
    without = shard.with_columns(tar=pl.lit(None, dtype=pl.String))
    assert Thumbnails.of(without).plain(0) is None
    gone = Thumbnails.of(shard.with_columns(tar=pl.lit(str(tmp_path / "gone.tar"))))
    assert gone.plain(0) is None
    shifted = shard.with_columns(offset=pl.col("offset") + 1)
    assert Thumbnails.of(shifted).hidden(0) is None


def test_large_images_shrink_with_their_aspect() -> None:
    assert shrink(Image.new("RGB", (400, 200))).size == (SIDE, SIDE // 2)


def test_pixelated_images_keep_64_colours_at_most() -> None:
    random = np.random.Generator(np.random.Philox(key=0))
    noise = Image.fromarray(random.integers(0, 256, (90, 70, 3)).astype(np.uint8))
    colours = pixelate(noise).getcolors(100)
    assert colours is not None
    assert len(colours) <= 64


def test_boxes_are_drawn_where_they_are() -> None:
    drawn = np.asarray(outline(Image.new("RGB", (2 * SIDE, 2 * SIDE)), [(20, 40, 60, 30)]))
    rows, columns = np.nonzero(drawn.sum(2))
    assert (columns.min(), rows.min()) == (10, 20)
    assert columns.max() == pytest.approx(40, abs=1)
    assert rows.max() == pytest.approx(35, abs=1)
