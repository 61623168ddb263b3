"""A tiny shard of pictures to make galleries of."""

import io as std_io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from sauropod import io, schema


@pytest.fixture
def shard(tmp_path: Path) -> pl.DataFrame:
    """IMAGES of twelve pictures, ids 0 to 11; picture i is 40 + i wide."""
    random = np.random.Generator(np.random.Philox(key=2))
    rows = []
    with io.TarWriter(tmp_path / "crawl-00000.tar") as tar:
        for i in range(12):
            pixels = random.integers(0, 256, (30, 40 + i, 3)).astype(np.uint8)
            buffer = std_io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            place = {"tar": str(tmp_path / "crawl-00000.tar"), "num_bytes": len(buffer.getvalue())}
            place["offset"] = tar.add(f"{i}.png", buffer.getvalue())
            rows.append({"image_id": i, "source": "crawl", "status": "ok", **place})
    return pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
