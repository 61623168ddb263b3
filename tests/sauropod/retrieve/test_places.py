"""retrieve.places: rows by id, in the order asked for."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.errors import InputError
from sauropod.retrieve.places import rows_of, usable
from sauropod.schema import IMAGES

ROWS = [{"image_id": i, "sha256": str(i), "status": "ok"} for i in range(4)]
FRAME = pl.DataFrame([*ROWS, {"image_id": 9, "status": "timeout"}], schema=dict(IMAGES.columns))


def test_order_is_the_order_asked_for() -> None:
    found = rows_of(FRAME.lazy(), np.array([3, 0, 2], np.uint64), ["sha256"])
    assert found.columns == ["image_id", "sha256"]
    assert found["sha256"].to_list() == ["3", "0", "2"]


def test_missing_id_is_one_sentence() -> None:
    with pytest.raises(InputError, match="1 of 2"):
        rows_of(FRAME.lazy(), np.array([3, 77], np.uint64))


def test_usable_is_status_ok(tmp_path: Path) -> None:
    schema.write(FRAME, tmp_path / "a", IMAGES, made_by={})
    frames = list(usable([tmp_path / "a"] * 2, ["image_id", "sha256"], label="x"))
    assert [frame["image_id"].to_list() for frame in frames] == [[0, 1, 2, 3]] * 2
    assert frames[0].columns == ["image_id", "sha256"]
