"""dedup.pool: ids to dense numbers and back, whatever shards there are."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.dedup.pool import SHARDS, Pool, every_shard, names_of
from sauropod.errors import InputError


def _ids(*places: tuple[int, int]) -> np.ndarray:
    return np.array([shard << 32 | row for shard, row in places], np.uint64)


def test_numbers_are_dense_and_in_the_order_of_ids() -> None:
    usable = _ids((7, 1), (7, 4), (2, 0), (2**31, 2))
    pool = Pool.of([usable[:2], usable[2:]])
    assert len(pool) == 1 + 5 + 3
    assert pool.numbers(usable).tolist() == [2, 5, 0, 8]
    np.testing.assert_array_equal(pool.ids(np.array([2, 5, 0, 8])), usable)


def test_others_have_no_number() -> None:
    pool = Pool.of([_ids((2, 0), (7, 4))])
    assert pool.numbers(_ids((2, 1), (7, 0), (7, 5), (3, 0), (0, 0), (9, 0))).tolist() == [-1] * 6
    assert Pool.of([]).numbers(_ids((0, 0))).tolist() == [-1]


@pytest.mark.parametrize("parts", [[[(1, 5), (1, 5)]], [[(1, 5)], [(1, 2), (1, 5)]]])
def test_an_image_comes_once(parts: list[list[tuple[int, int]]]) -> None:
    with pytest.raises(InputError, match=f"image {1 << 32 | 5} twice"):
        Pool.of(_ids(*part) for part in parts)


def test_read_takes_what_is_usable(tmp_path: Path) -> None:
    rows = {"image_id": [0, 1, 2], "status": ["ok", "timeout", "ok"]}
    kinds = dict(schema.IMAGES.columns)
    others = {name: pl.Series([None] * 3, dtype=kind) for name, kind in kinds.items()}
    frame = pl.DataFrame({**others, **rows}, schema=kinds)
    schema.write(frame, tmp_path / "a", schema.IMAGES, made_by={})
    assert Pool.read([tmp_path / "a"]).usable.tolist() == [True, False, True]


def test_a_shard_in_no_block_is_named(tmp_path: Path) -> None:
    images = [Path(f"screen/crawl-0000{number}.parquet") for number in range(3)]
    for name, part in (("a", images[:2]), ("b", images[2:])):
        told = {SHARDS: names_of(Path("describe") / path.name for path in part)}
        empty = pl.DataFrame(schema=dict(schema.PCA_HASHES.columns))
        schema.write(empty, tmp_path / name, schema.PCA_HASHES, made_by=told)
    every_shard([tmp_path / "b", tmp_path / "a"], images, flag="--edges")
    with pytest.raises(InputError, match=r"--edges.*none for crawl-00002.parquet"):
        every_shard([tmp_path / "a"], images, flag="--edges")
