"""retrieve.places: usable rows."""

from pathlib import Path

import polars as pl

from sauropod import schema
from sauropod.retrieve.places import usable
from sauropod.schema import IMAGES

ROWS = [{"image_id": i, "sha256": str(i), "status": "ok"} for i in range(4)]
FRAME = pl.DataFrame([*ROWS, {"image_id": 9, "status": "timeout"}], schema=dict(IMAGES.columns))


def test_usable_is_status_ok(tmp_path: Path) -> None:
    schema.write(FRAME, tmp_path / "a", IMAGES, made_by={})
    frames = list(usable([tmp_path / "a"] * 2, ["image_id", "sha256"], label="x"))
    assert [frame["image_id"].to_list() for frame in frames] == [[0, 1, 2, 3]] * 2
    assert frames[0].columns == ["image_id", "sha256"]
