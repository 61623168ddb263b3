"""src/manifest.py: the whole curation chain gives the same manifest on 1, 3 and 7 shards."""

from collections.abc import Callable

import polars as pl
from polars.testing import assert_frame_equal
from tests.stages.conftest import Run

from sauropod import schema

PLACE = ["image_id", "tar", "offset", "query_id"]


def _content(run: Run, name: str) -> pl.DataFrame:
    return schema.read(run.at("manifest", name), schema.MANIFEST).drop(PLACE)


def test_shard_count_changes_places_only(make_run: Callable[[int], Run], curation: Run) -> None:
    runs = [make_run(num_shards).all() for num_shards in (1, 7)]
    for name in ("lvd", "uncurated"):
        expected = _content(curation, name)
        assert expected.height
        for run in runs:
            assert_frame_equal(_content(run, name), expected)
