"""retrieve.manifest: provenance, multiplicity, the uncurated sample, and files of another run."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

from sauropod import schema
from sauropod.errors import InputError
from sauropod.retrieve import manifest
from sauropod.schema import COPIES, IMAGES, MANIFEST, NEIGHBOURS, Table

RECIPE = ["good:as_is", "good:sample:2", "good:cluster"]


def _images(ids: list[int], source: str) -> pl.DataFrame:
    rows = [
        {
            "image_id": i,
            "source": source,
            "url": f"u{i}",
            "num_bytes": i % 256,
            "sha256": hashlib.sha256(str(i).encode()).hexdigest(),
            "tar": f"{source}.tar",
            "offset": 10 * (i % 256),
            "status": "ok",
        }
        for i in ids
    ]
    return pl.DataFrame(rows, schema=dict(IMAGES.columns))


def _neighbours(*rows: tuple[int, int | None, float | None, int | None]) -> pl.DataFrame:
    full = [
        {"image_id": i, "query_dataset": "good", "query_id": q, "similarity": s, "cluster": c}
        for i, q, s, c in rows
    ]
    return pl.DataFrame(full, schema=dict(NEIGHBOURS.columns))


POOL = _images([*range(10), 5 << 32], "crawl")
GOOD = _images([100, 101], "good")
NEAR = _neighbours(
    (1, 100, 0.5, None), (1, 101, 0.9, None), (2, 100, 0.4, None), (1, None, None, 7)
)


class Files:
    """Tables on disk, each in two files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0

    def new(self) -> Path:
        self.number += 1
        return self.folder / str(self.number)

    def of(self, frame: pl.DataFrame, table: Table) -> list[Path]:
        paths = []
        for part in (frame[: frame.height // 3], frame[frame.height // 3 :]):
            paths.append(self.new())
            schema.write(part, paths[-1], table, made_by={})
        return paths

    def assemble(
        self,
        recipe: list[str] | None = RECIPE,
        curated: pl.DataFrame = GOOD,
        pool: pl.DataFrame = POOL,
        neighbours: pl.DataFrame = NEAR,
        *,
        multiplicity: str = "keep",
    ) -> tuple[pl.DataFrame, dict[tuple[str, str], int]]:
        found = manifest.assemble(
            recipe,
            self.of(curated, IMAGES),
            self.of(pool, IMAGES),
            self.of(neighbours, NEIGHBOURS),
            multiplicity=multiplicity,  # pyright: ignore[reportArgumentType]
            scratch=self.new(),
        )
        rows = pl.concat([pl.DataFrame(schema=dict(MANIFEST.columns)), *found.frames()])
        counts = found.summary("lvd").select("stage", "reason", "rows")
        return rows, {(stage, reason): count for stage, reason, count in counts.iter_rows()}

    def uncurated(
        self, pool: pl.DataFrame = POOL, *, size: int = 4, seed: int = 0, without: int = 3
    ) -> pl.DataFrame:
        ids = pool["image_id"].to_list()
        copies = pl.DataFrame(
            [{"image_id": i, "kept": i != without} for i in ids], schema=dict(COPIES.columns)
        )
        path = self.new()
        schema.write(copies, path, COPIES, made_by={})
        kept = manifest.Uncurated(self.of(pool, IMAGES), path, seed=seed)
        return pl.concat(kept.draw(size, scratch=self.new()).frames())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_every_row_says_where_and_why(files: Files) -> None:
    rows, counts = files.assemble()
    assert rows.schema == pl.Schema(MANIFEST.columns)
    assert rows.height == 6
    expected = {("manifest", "kept"): 6, ("manifest_distinct", "kept"): 4}
    assert counts == {**expected, ("manifest_distinct", "collision"): 2}
    one = rows.filter(pl.col("image_id") == 1)
    assert one["source"].to_list() == ["sample", "sample", "cluster"]
    assert one["similarity"].to_list() == [pytest.approx(0.9), pytest.approx(0.5), None]
    assert one["query_id"].to_list() == [101, 100, None]
    assert one["cluster"].to_list() == [None, None, 7]
    assert one.select("tar", "offset", "num_bytes", "url").row(0) == ("crawl.tar", 10, 1, "u1")
    assert rows.filter(pl.col("source") == "as_is")["image_id"].sort().to_list() == [100, 101]


def test_once_keeps_the_best_reason(files: Files) -> None:
    rows, counts = files.assemble(multiplicity="once")
    assert sorted(rows["image_id"]) == [1, 2, 100, 101]
    assert rows.filter(pl.col("image_id") == 1)["similarity"].item() == pytest.approx(0.9)
    expected = {("manifest", "kept"): 4, ("manifest", "again"): 2}
    assert counts == {**expected, ("manifest_distinct", "kept"): 4}


def test_rows_are_in_order_of_content(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of the input, and however many parts it is sorted in."""
    rows, _ = files.assemble()
    assert rows["sha256"].to_list() == sorted(rows["sha256"])
    turned, _ = files.assemble(RECIPE[::-1], GOOD[::-1], POOL[::-1], NEAR[::-1])
    assert turned.equals(rows)
    whole = files.uncurated(size=9)
    monkeypatch.setattr(manifest, "PART_ROWS", 1)
    parted, _ = files.assemble()
    assert parted.equals(rows)
    assert files.uncurated(size=9).equals(whole)


def test_every_curated_dataset_as_it_is(files: Files) -> None:
    both = pl.concat([GOOD, _images([200], "better")])
    rows, _ = files.assemble(None, both, POOL[:0], NEAR[:0])
    assert sorted(rows["query_dataset"]) == ["better", "good", "good"]
    assert set(rows["source"]) == {"as_is"}


def test_balanced_rows_say_their_cluster(files: Files) -> None:
    drawn = _neighbours((1, None, None, 7), (5 << 32, None, None, 8))
    drawn = drawn.with_columns(query_dataset=pl.lit(None, dtype=pl.String))
    found = manifest.balanced(drawn, files.of(POOL, IMAGES), scratch=files.new())
    rows = pl.concat(found.frames())
    assert dict(rows.select("image_id", "cluster").iter_rows()) == {1: 7, 5 << 32: 8}
    assert set(rows["source"]) == {"balanced"}


def test_uncurated_is_a_seeded_sample_of_kept_images(files: Files) -> None:
    rows = files.uncurated()
    assert rows.height == 4
    assert set(rows["source"]) == {"uncurated"}
    assert rows.equals(files.uncurated(POOL[::-1]))
    assert not rows.equals(files.uncurated(seed=1))
    every = files.uncurated(size=99)
    assert every.height == 10
    assert 3 not in every["image_id"]
    for size in range(1, 10):  # each draw holds the smaller ones
        assert set(files.uncurated(size=size)["url"]) < set(files.uncurated(size=size + 1)["url"])


def test_uncurated_chooses_among_equal_bytes_by_url(files: Files) -> None:
    same = POOL.with_columns(sha256=pl.lit("ab" * 32))
    assert sorted(files.uncurated(same[::-1], size=3)["url"]) == ["u0", "u1", "u2"]


def test_recipe_and_neighbours_must_fit(files: Files) -> None:
    with pytest.raises(InputError, match="one of good"):
        files.assemble(["bad:as_is"])
    with pytest.raises(InputError, match="at least one row"):
        files.assemble([])
    with pytest.raises(InputError, match="found good:cluster"):
        files.assemble(RECIPE[:2])
    with pytest.raises(InputError, match="3 rows of other images"):
        files.assemble(pool=POOL[2:])


def test_what_comes_twice_is_refused(files: Files) -> None:
    with pytest.raises(InputError, match="found images twice"):
        files.assemble(pool=pl.concat([POOL, POOL]))
    with pytest.raises(InputError, match="expected every image once, found 2 again"):
        files.assemble(curated=pl.concat([GOOD, GOOD]))
    with pytest.raises(InputError, match="expected every image once, found 1 again"):
        files.assemble(neighbours=pl.concat([NEAR, NEAR[:1]]))


def test_verdicts_of_another_run_are_refused(files: Files) -> None:
    path = files.new()
    copies = [{"image_id": i, "kept": True} for i in (0, 77)]
    schema.write(pl.DataFrame(copies, schema=dict(COPIES.columns)), path, COPIES, made_by={})
    with pytest.raises(InputError, match="found 2, of which the pool has 1"):
        manifest.Uncurated(files.of(POOL, IMAGES), path, seed=0)


def test_an_empty_training_set_is_refused(tmp_path: Path) -> None:
    manifest.check(1, tmp_path)
    with pytest.raises(InputError, match="at least one image"):
        manifest.check(0, tmp_path)
