"""vector_rows: the rows that were added, with their ids, whatever the batches."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sauropod import schema
from sauropod.vector_rows import VectorRows


@given(
    wanted=st.lists(st.booleans(), max_size=30).filter(any),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_rows_are_those_of_the_whole(wanted: list[bool], cuts: list[int]) -> None:
    ids = pl.Series(np.arange(len(wanted), dtype=np.uint64) * 3 + 7)
    values = np.arange(4 * len(wanted), dtype=np.float16).reshape(-1, 4)
    rows = np.flatnonzero(wanted)
    found = VectorRows(ids)
    for part in np.split(rows, sorted(cuts)):
        found.add(part, values[part])
    frame = found.frame(schema.EMBEDDINGS)
    assert frame["image_id"].to_list() == [3 * row + 7 for row in rows]
    assert frame["image_id"].dtype == pl.UInt64
    np.testing.assert_array_equal(schema.vectors(frame, "embedding"), values[rows])


def test_nothing_added_is_an_empty_table() -> None:
    frame = VectorRows(pl.Series([1, 2], dtype=pl.UInt64)).frame(schema.DESCRIPTORS)
    assert frame.is_empty()
    assert frame.columns == ["image_id", "descriptor"]
