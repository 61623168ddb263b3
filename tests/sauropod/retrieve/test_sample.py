"""retrieve.sample: counts with multiplicity, clusters with enough queries, keyed draws."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.retrieve import clusters, sample
from sauropod.retrieve.clusters import ClusterFiles
from sauropod.retrieve.draw import mix
from sauropod.retrieve.exact import exact_nearest
from sauropod.schema import CLUSTERS, NEIGHBOURS


def _members(
    sizes: dict[int, int], folder: Path, *, shift: int = 0, order: np.ndarray | None = None
) -> ClusterFiles:
    """Two files; images that differ by a multiple of 1000 have the same bytes."""
    cluster = np.repeat(list(sizes), list(sizes.values()))
    ids = np.arange(len(cluster)) + shift
    rows = {"image_id": ids, "cluster": cluster, "distance": np.zeros(len(ids))}
    frame = pl.DataFrame({**rows, "content_key": mix(ids % 1000)}, schema=dict(CLUSTERS.columns))
    frame = frame if order is None else frame[order]
    paths = [folder / "a", folder / "b"]
    for path, part in zip(paths, (frame[:7], frame[7:]), strict=True):
        schema.write(part, path, CLUSTERS, made_by={})
    return ClusterFiles(paths, 10)


def _hit(members: ClusterFiles) -> np.ndarray:
    return np.flatnonzero(members.sizes())


def test_by_query_counts_collisions_with_multiplicity() -> None:
    rng = np.random.default_rng(1)
    stored = np.arange(100, dtype=np.uint64), rng.standard_normal((100, 8)).astype(np.float16)
    queries = rng.standard_normal((60, 8)).astype(np.float16)
    queries[1] = queries[0]
    ids = np.arange(500, 560, dtype=np.uint64)
    truth = exact_nearest(queries, stored, count=4)
    found = sample.by_query((ids, queries), truth, dataset="d")
    assert found.schema == pl.Schema(NEIGHBOURS.columns)
    assert found.height == 240
    assert found["image_id"].n_unique() < 240
    assert found["rank"].to_list() == [1, 2, 3, 4] * 60
    twins = [found.filter(pl.col("query_id") == i)["image_id"].to_list() for i in (500, 501)]
    assert twins[0] == twins[1]


def test_by_query_gives_what_a_small_pool_has() -> None:
    found = np.array([[4, 9, -1]]), np.array([[0.5, 0.25, -np.inf]], np.float32)
    queries = (np.array([7], np.uint64), np.ones((1, 8), np.float16))
    rows = sample.by_query(queries, found, dataset="d")
    assert rows.select("image_id", "rank", "similarity").rows() == [(4, 1, 0.5), (9, 2, 0.25)]


def test_clusters_need_enough_queries() -> None:
    centroids = np.eye(3, dtype=np.float32)
    queries = np.repeat(np.eye(3, dtype=np.float16), [4, 3, 5], axis=0)
    assert sample.query_clusters(queries, centroids, min_queries=4).tolist() == [0, 2]


def test_by_cluster_counts(tmp_path: Path) -> None:
    members = _members({2: 30, 4: 9, 5: 4, 9: 50}, tmp_path)
    options = {"dataset": "d", "seed": 0, "per_cluster": 10}
    hit = np.array([2, 5, 9])
    found, drawn = sample.by_cluster(members, hit, cap=100, **options)
    assert drawn == found.height == 24
    assert dict(found["cluster"].value_counts().iter_rows()) == {2: 10, 5: 4, 9: 10}
    assert found["rank"].to_list() == [*range(1, 11), *range(1, 5), *range(1, 11)]
    assert found["query_id"].null_count() == 24
    assert found.schema == pl.Schema(NEIGHBOURS.columns)
    capped, drawn = sample.by_cluster(members, hit, cap=15, **options)
    assert (capped.height, drawn) == (15, 24)
    assert set(capped["image_id"]) < set(found["image_id"])
    assert sample.by_cluster(members, hit[:0], cap=15, **options)[0].is_empty()


def test_the_draw_depends_on_content_and_seed_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {1: 200, 2: 300}

    def draw(seed: int, **how: Any) -> set[int]:  # noqa: ANN401
        members = _members(sizes, tmp_path, **how)
        options = {"dataset": "d", "per_cluster": 40, "cap": 60, "seed": seed}
        rows, _ = sample.by_cluster(members, _hit(members), **options)
        return {i % 1000 for i in rows["image_id"].to_list()}

    expected = draw(0)
    shuffled = np.random.default_rng(3).permutation(500)
    assert draw(0, order=shuffled) == expected
    assert draw(0, shift=1000) == expected
    assert draw(1) != expected
    # Sorted out after every chunk of a few rows, it is the same draw.
    monkeypatch.setattr(clusters, "WAITING_ROWS", 1)
    monkeypatch.setattr(clusters.streaming.chunks, "__kwdefaults__", {"rows": 11, "columns": ()})
    assert draw(0, order=shuffled) == expected


def test_the_cap_thins_clusters_evenly(tmp_path: Path) -> None:
    """A second, independent key: the larger cluster does not crowd out the smaller one."""
    members = _members({1: 20, 2: 900}, tmp_path)
    options = {"dataset": "d", "per_cluster": 20, "cap": 20, "seed": 0}
    rows, _ = sample.by_cluster(members, _hit(members), **options)
    counts = dict(rows["cluster"].value_counts().iter_rows())
    assert 4 <= counts[1] <= 16
