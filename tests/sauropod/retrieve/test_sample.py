"""retrieve.sample: counts with multiplicity, clusters with enough queries, keyed draws."""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.dedup.copies import Collection
from sauropod.retrieve import index, sample
from sauropod.retrieve.vectors import StoredVectors
from sauropod.schema import CLUSTERS, NEIGHBOURS


def _sha256(ids: np.ndarray) -> pl.Series:
    return pl.Series([hashlib.sha256(str(i % 1000).encode()).hexdigest() for i in ids.tolist()])


def _members(sizes: dict[int, int], shift: int = 0) -> pl.DataFrame:
    cluster = np.repeat(list(sizes), list(sizes.values()))
    ids = np.arange(len(cluster)) + shift
    rows = {"image_id": ids, "cluster": cluster, "distance": np.zeros(len(ids))}
    return pl.DataFrame(rows, schema=dict(CLUSTERS.columns))


@pytest.fixture
def pool(tmp_path: Path) -> Collection:
    rng = np.random.default_rng(0)
    ids = np.arange(100, dtype=np.uint64)
    vectors = rng.standard_normal((100, 8)).astype(np.float16)
    frame = pl.DataFrame({"image_id": ids, "embedding": schema.vector_column(vectors)})
    schema.write(frame, tmp_path / "pool.parquet", schema.EMBEDDINGS, made_by={})
    stored = StoredVectors([tmp_path / "pool.parquet"], schema.EMBEDDINGS)
    built = index.build(stored, factory="Flat", training=index.Training())
    return Collection(index=built, origin=tmp_path / "x.faiss", stored=stored)


def test_by_query_counts_collisions_with_multiplicity(pool: Collection) -> None:
    queries = np.random.default_rng(1).standard_normal((60, 8)).astype(np.float16)
    queries[1] = queries[0]
    ids = np.arange(500, 560, dtype=np.uint64)
    found = sample.by_query((ids, queries), pool, dataset="d", per_query=4, over_fetch=2)
    assert found.schema == pl.Schema(NEIGHBOURS.columns)
    assert found.height == 240
    assert found["image_id"].n_unique() < 240
    assert found["rank"].to_list() == [1, 2, 3, 4] * 60
    twins = [found.filter(pl.col("query_id") == i)["image_id"].to_list() for i in (500, 501)]
    assert twins[0] == twins[1]
    truth, cosines = index.exact_nearest(queries, pool.stored, count=4)
    np.testing.assert_array_equal(found["image_id"].to_numpy().reshape(60, 4), truth)
    np.testing.assert_allclose(found["similarity"].to_numpy().reshape(60, 4), cosines, atol=1e-6)


def test_by_query_gives_what_a_small_pool_has(pool: Collection) -> None:
    queries = (np.array([7], np.uint64), np.ones((1, 8), np.float16))
    assert sample.by_query(queries, pool, dataset="d", per_query=200, over_fetch=2).height == 100


def test_clusters_need_enough_queries() -> None:
    centroids = np.eye(3, dtype=np.float32)
    queries = np.repeat(np.eye(3, dtype=np.float16), [4, 3, 5], axis=0)
    assert sample.query_clusters(queries, centroids, min_queries=4).tolist() == [0, 2]


def test_by_cluster_counts() -> None:
    members = _members({2: 30, 5: 4, 9: 50})
    options = {"dataset": "d", "seed": 0, "sha256": _sha256}
    found, drawn = sample.by_cluster(members, per_cluster=10, cap=100, **options)
    assert drawn == found.height == 24
    assert dict(found["cluster"].value_counts().iter_rows()) == {2: 10, 5: 4, 9: 10}
    assert found["rank"].to_list() == [*range(1, 11), *range(1, 5), *range(1, 11)]
    assert found["query_id"].null_count() == 24
    assert found.schema == pl.Schema(NEIGHBOURS.columns)
    capped, drawn = sample.by_cluster(members, per_cluster=10, cap=15, **options)
    assert (capped.height, drawn) == (15, 24)
    assert set(capped["image_id"]) < set(found["image_id"])


def test_the_draw_depends_on_content_and_seed_only() -> None:
    members = _members({1: 200, 2: 300})

    def draw(frame: pl.DataFrame, seed: int) -> set[int]:
        rows, _ = sample.by_cluster(
            frame, dataset="d", per_cluster=40, cap=60, seed=seed, sha256=_sha256
        )
        return {i % 1000 for i in rows["image_id"].to_list()}

    expected = draw(members, 0)
    assert draw(members.sample(fraction=1, shuffle=True, seed=3), 0) == expected
    assert draw(_members({1: 200, 2: 300}, shift=1000), 0) == expected
    assert draw(members, 1) != expected


def test_the_cap_thins_clusters_evenly() -> None:
    """A second, independent key: the larger cluster does not crowd out the smaller one."""
    members = _members({1: 20, 2: 900})
    rows, _ = sample.by_cluster(
        members, dataset="d", per_cluster=20, cap=20, seed=0, sha256=_sha256
    )
    counts = dict(rows["cluster"].value_counts().iter_rows())
    assert 4 <= counts[1] <= 16
