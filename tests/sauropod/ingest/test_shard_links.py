"""shard_links.py: ranges of keys share out all links, each once."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sauropod import schema
from sauropod.errors import InputError
from sauropod.ingest import links, shard_links, urls


def table(numbers: range, *, page: str) -> pl.DataFrame:
    found = [f"http://a.example/{i}.jpg" for i in numbers]
    frame = pl.DataFrame(
        {
            "url": found,
            "url_key": [urls.url_key(url) for url in found],
            "page_url": [page] * len(found),
            "domain": ["a.example"] * len(found),
            "status": ["ok"] * len(found),
        },
        schema=dict(schema.LINKS.columns),
    )
    return links.unique(frame)


@pytest.mark.parametrize("num_parts", [1, 3, 8])
def test_parts_share_out_every_url_once(tmp_path: Path, num_parts: int) -> None:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    frames = [table(range(60), page="p1"), table(range(40, 90), page="p0")]
    for path, frame in zip(paths, frames, strict=True):
        schema.write(frame, path, schema.LINKS, made_by={})
    parts = [shard_links.share(paths, part=i, num_parts=num_parts) for i in range(num_parts)]
    whole = pl.concat([frame for frame, _ in parts])
    assert whole.height == whole["url"].n_unique() == 90
    assert whole["url_key"].is_sorted()
    assert sum(duplicates for _, duplicates in parts) == 20
    assert_frame_equal(whole, links.unique(pl.concat(frames)))
    again, _ = shard_links.share(paths[::-1], part=0, num_parts=1)
    assert_frame_equal(again, whole)


def test_part_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        shard_links.share([], part=2, num_parts=2)
