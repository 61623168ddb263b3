"""retrieve.manifest: provenance, multiplicity, the uncurated sample, and files of another run."""

import hashlib

import polars as pl
import pytest

from sauropod.errors import InputError
from sauropod.retrieve import manifest
from sauropod.retrieve.places import usable
from sauropod.schema import COPIES, IMAGES, MANIFEST, NEIGHBOURS

RECIPE = ["good:as_is", "good:sample:2", "good:cluster"]


def _images(ids: list[int], source: str) -> pl.DataFrame:
    rows = [
        {
            "image_id": i,
            "source": source,
            "url": f"u{i}",
            "num_bytes": i,
            "sha256": hashlib.sha256(bytes([i])).hexdigest(),
            "tar": f"{source}.tar",
            "offset": 10 * i,
            "status": "ok",
        }
        for i in ids
    ]
    return usable(pl.DataFrame(rows, schema=dict(IMAGES.columns)).lazy())


def _neighbours(*rows: tuple[int, int | None, float | None, int | None]) -> pl.DataFrame:
    full = [
        {"image_id": i, "query_dataset": "good", "query_id": q, "similarity": s, "cluster": c}
        for i, q, s, c in rows
    ]
    return pl.DataFrame(full, schema=dict(NEIGHBOURS.columns))


POOL = _images(list(range(10)), "crawl")
GOOD = _images([100, 101], "good")
NEAR = _neighbours(
    (1, 100, 0.5, None), (1, 101, 0.9, None), (2, 100, 0.4, None), (1, None, None, 7)
)


def test_every_row_says_where_and_why() -> None:
    rows, counts = manifest.assemble(RECIPE, GOOD, POOL, NEAR, multiplicity="keep")
    assert rows.schema == pl.Schema(MANIFEST.columns)
    assert rows.height == 6
    assert counts.rows() == [("manifest", "lvd", "kept", 6)]
    one = rows.filter(pl.col("image_id") == 1)
    assert one["source"].to_list() == ["sample", "sample", "cluster"]
    assert one["similarity"].to_list() == [pytest.approx(0.9), pytest.approx(0.5), None]
    assert one["cluster"].to_list() == [None, None, 7]
    assert one.select("tar", "offset", "num_bytes", "url").row(0) == ("crawl.tar", 10, 1, "u1")
    assert rows.filter(pl.col("source") == "as_is")["image_id"].sort().to_list() == [100, 101]


def test_once_keeps_the_best_reason() -> None:
    rows, counts = manifest.assemble(RECIPE, GOOD, POOL, NEAR, multiplicity="once")
    assert sorted(rows["image_id"]) == [1, 2, 100, 101]
    assert rows.filter(pl.col("image_id") == 1)["similarity"].item() == pytest.approx(0.9)
    assert dict(counts.select("reason", "rows").iter_rows()) == {"kept": 4, "again": 2}


def test_rows_are_in_order_of_content() -> None:
    rows, _ = manifest.assemble(RECIPE, GOOD, POOL, NEAR, multiplicity="keep")
    assert rows["sha256"].to_list() == sorted(rows["sha256"])
    turned, _ = manifest.assemble(
        RECIPE[::-1], GOOD[::-1], POOL[::-1], NEAR[::-1], multiplicity="keep"
    )
    assert turned.equals(rows)


def test_uncurated_is_a_seeded_sample_of_kept_images() -> None:
    copies = pl.DataFrame(
        [{"image_id": i, "kept": i != 3} for i in range(10)], schema=dict(COPIES.columns)
    )
    kept = manifest.kept_pool(POOL, copies)
    assert 3 not in kept["image_id"]
    rows = manifest.uncurated(kept, size=4, seed=0)
    assert rows.height == 4
    assert set(rows["source"]) == {"uncurated"}
    assert rows.equals(manifest.uncurated(kept[::-1], size=4, seed=0))
    assert not rows.equals(manifest.uncurated(kept, size=4, seed=1))
    assert manifest.uncurated(kept, size=99, seed=0).height == 9


def test_uncurated_chooses_among_equal_bytes_by_url() -> None:
    same = POOL.with_columns(sha256=pl.lit("ab" * 32))
    rows = manifest.uncurated(same[::-1], size=3, seed=0)
    assert rows["url"].to_list() == ["u0", "u1", "u2"]


def test_every_curated_dataset_as_it_is() -> None:
    both = pl.concat([GOOD, _images([200], "better")])
    assert manifest.every_curated(both) == ["better:as_is", "good:as_is"]


def test_user_mistakes_are_one_sentence() -> None:
    with pytest.raises(InputError, match="one of good"):
        manifest.assemble(["bad:as_is"], GOOD, POOL, NEAR, multiplicity="keep")
    with pytest.raises(InputError, match="found good:cluster"):
        manifest.assemble(RECIPE[:2], GOOD, POOL, NEAR, multiplicity="keep")
    with pytest.raises(InputError, match="3 rows of other images"):
        manifest.assemble(RECIPE, GOOD, POOL[2:], NEAR, multiplicity="keep")
