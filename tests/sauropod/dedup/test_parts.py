"""dedup.parts: what a part says of itself, and parts that do not belong together."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.dedup import parts
from sauropod.errors import InputError
from sauropod.retrieve.vectors import StoredVectors

ONE = 1 << 32


def _stored(path: Path, ids: list[int], without: list[int]) -> StoredVectors:
    vectors = schema.vector_column(np.eye(len(ids), 4))
    frame = pl.DataFrame({"image_id": pl.Series(ids, dtype=pl.UInt64), "descriptor": vectors})
    schema.write(frame, path, schema.DESCRIPTORS, made_by={})
    dropped = np.array(without, np.uint64)
    return StoredVectors([path], schema.DESCRIPTORS, dropped, unit=True)


def _part(folder: Path, *, without: list[int], knobs: str = "{}") -> Path:
    queries = _stored(folder / "a-00000.parquet", [0, 1, 2], without)
    pool = _stored(folder / "a-00001.parquet", [ONE, ONE + 1], without)
    for stored in (queries, pool):
        stored.load()
    told = parts.made_of(queries, pool, num_queries=2)
    path = folder / f"part-{len(without)}.parquet"
    empty = pl.DataFrame(schema=dict(schema.PAIRS.columns))
    schema.write(empty, path, schema.PAIRS, made_by={**told, "knobs": knobs})
    return path


def test_what_a_part_says(tmp_path: Path) -> None:
    path = _part(tmp_path, without=[1, ONE])
    told = parts.check([path], duplicates=np.array([1, ONE], np.uint64), knobs="{}")
    assert (told["num_queries"], told["num_bad"]) == ("2", "0")
    assert told["shards"] == '["a-00000.parquet"]'


def test_duplicates_elsewhere_do_not_matter(tmp_path: Path) -> None:
    path = _part(tmp_path, without=[1])
    parts.check([path], duplicates=np.array([1, 2 * ONE, 3 * ONE], np.uint64), knobs="{}")


@pytest.mark.parametrize("now", [[], [1, 2], [2], [1, ONE]])
def test_other_duplicates_are_one_sentence(tmp_path: Path, now: list[int]) -> None:
    path = _part(tmp_path, without=[1])
    with pytest.raises(InputError, match=r"part-1\.parquet: .*no duplicates now, found one among"):
        parts.check([path], duplicates=np.array(now, np.uint64), knobs="{}")


def test_another_run_is_one_sentence(tmp_path: Path) -> None:
    path = _part(tmp_path, without=[])
    with pytest.raises(InputError, match="found one of another run"):
        parts.check([path], duplicates=np.empty(0, np.uint64), knobs="other")
    with pytest.raises(InputError, match="--parts: expected the parts of a search"):
        parts.check([], duplicates=np.empty(0, np.uint64), knobs="{}")


def test_a_forgotten_duplicate_is_left_out_still(tmp_path: Path) -> None:
    """As often as it is told; what is a duplicate in no shard of the part changes nothing."""
    path = _part(tmp_path, without=[1, ONE])
    facts = pl.read_parquet_metadata(path)
    told = parts.forgotten(facts, np.array([ONE, 5 * ONE], np.uint64))
    assert parts.forgotten({**facts, **told}, np.array([ONE], np.uint64)) == told
    assert parts.forgotten(facts, np.array([5 * ONE], np.uint64)) == {}
    empty = pl.DataFrame(schema=dict(schema.PAIRS.columns))
    schema.write(empty, path, schema.PAIRS, made_by={**facts, **told})
    parts.check([path], duplicates=np.array([1], np.uint64), knobs="{}")
    parts.check([path], duplicates=np.array([1, ONE], np.uint64), knobs="{}")
    with pytest.raises(InputError, match="found one among others"):
        parts.check([path], duplicates=np.array([1, 2], np.uint64), knobs="{}")
