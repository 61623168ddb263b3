"""dedup.edges: the nearest over all blocks, and the audit, on pairs written by hand."""

from pathlib import Path

import polars as pl
import pytest

from sauropod import schema
from sauropod.dedup.edges import merged, recall
from sauropod.dedup.pool import ROW_BITS
from sauropod.schema import EDGES, PAIRS

NEXT_SHARD = 1 << ROW_BITS


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """What two blocks gave queries of two shards; the last rows of each are an audit's."""
    first = [
        (1, 10, 0.7, True, None),
        (1, 11, 0.9, True, None),
        (NEXT_SHARD, 10, 0.8, True, None),
        (1, 10, 0.7, True, True),
        (1, 12, 0.5, False, True),
    ]
    second = [
        (1, 21, 0.7, True, None),
        (1, 20, 0.7, True, None),
        (1, 20, 0.7, False, True),
        (1, 22, 0.6, True, False),
    ]
    paths = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    for path, rows in zip(paths, (first, second), strict=True):
        frame = pl.DataFrame(rows, schema=dict(PAIRS.columns), orient="row")
        schema.write(frame, path, PAIRS, made_by={})
    return paths


@pytest.mark.parametrize(
    ("count", "kept"), [(1, [11]), (3, [11, 10, 20]), (None, [11, 10, 20, 21])]
)
def test_the_nearest_are_kept(parts: list[Path], count: int | None, kept: list[int]) -> None:
    shards = list(merged(parts, count=count))
    assert [shard.schema for shard in shards] == [pl.Schema(EDGES.columns)] * 2
    assert [shard["image_id"].unique().to_list() for shard in shards] == [[1], [NEXT_SHARD]]
    assert shards[0]["neighbour_id"].to_list() == kept, "by similarity, then by id"
    assert shards[1]["neighbour_id"].to_list() == [10]


def test_recall_counts_over_all_blocks(parts: list[Path]) -> None:
    """True are 10, 20 and 12, found 10 and 22; 12 and 22 are not near."""
    assert recall(parts, count=3, threshold=0.65) == {
        "link_audit": (1, 3),
        "link_audit_edges": (1, 2),
    }
    assert recall(parts, count=1, threshold=0.65)["link_audit"] == (1, 1)
