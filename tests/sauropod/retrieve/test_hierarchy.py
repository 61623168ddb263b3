"""retrieve.hierarchy: exact targets, flat draws from unbalanced modes, nothing twice."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod import schema
from sauropod.errors import InputError
from sauropod.retrieve import hierarchy, kmeans
from sauropod.retrieve.clusters import ClusterFiles
from sauropod.retrieve.draw import mix
from sauropod.schema import CLUSTERS

LEVELS = {"num_iterations": 10, "resampling_steps": 3, "points_per_cluster": 2, "seed": 0}


def _clusters(labels: np.ndarray, folder: Path, order: np.ndarray | None = None) -> ClusterFiles:
    ids = np.arange(len(labels))
    rows = {"image_id": ids, "cluster": labels, "distance": 0.0 * labels}
    frame = pl.DataFrame({**rows, "content_key": mix(ids)}, schema=dict(CLUSTERS.columns))
    path = folder / "clusters"
    schema.write(frame if order is None else frame[order], path, CLUSTERS, made_by={})
    return ClusterFiles([path], int(labels.max(initial=0)) + 1)


def test_water_filled_by_hand() -> None:
    sizes = np.array([1, 10, 3, 10])
    for target, expected in [
        (0, [0, 0, 0, 0]),
        (2, [1, 1, 0, 0]),
        (10, [1, 3, 3, 3]),
        (12, [1, 4, 3, 4]),
        (13, [1, 5, 3, 4]),
        (24, [1, 10, 3, 10]),
    ]:
        assert hierarchy.water_filled(sizes, target).tolist() == expected


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_water_filled_is_exact_and_as_flat_as_can_be(sizes: list[int], share: float) -> None:
    target = int(share * sum(sizes))
    given_ = hierarchy.water_filled(np.array(sizes), target)
    assert given_.sum() == target
    assert (given_ <= sizes).all()
    cut = given_[given_ < sizes]
    assert not len(cut) or given_.max() - cut.min() <= 1


def test_allocate_by_hand() -> None:
    """Two concepts, one of three clusters and one of a single: both get the same."""
    sizes, parents = np.array([50, 50, 50, 50]), [np.array([0, 0, 0, 1])]
    assert hierarchy.allocate(sizes, parents, target=60).tolist() == [10, 10, 10, 30]
    assert hierarchy.allocate(sizes, [], target=60).tolist() == [15, 15, 15, 15]


@pytest.fixture(scope="module")
def pool() -> tuple[np.ndarray, np.ndarray]:
    """Six modes, the largest 100 times the smallest: vectors (n, d) and their modes."""
    rng = np.random.default_rng(0)
    modes = np.repeat(np.arange(6), [3000, 1000, 300, 100, 60, 30])
    vectors = 4 * np.eye(6, 8)[modes] + 0.5 * rng.standard_normal((len(modes), 8))
    order = rng.permutation(len(modes))
    return vectors[order].astype(np.float16), modes[order]


def test_sampling_flattens_unbalanced_modes(
    pool: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """In most runs: a fit of so few points falls into one local optimum or another."""
    vectors, modes = pool
    counts = []
    for seed in range(7):
        means, _ = kmeans.fit(vectors, num_clusters=80, num_iterations=15, seed=seed)
        labels, _ = kmeans.assign(vectors, means)
        parents = hierarchy.fit(means, levels=(30, 12), **{**LEVELS, "seed": seed})
        assert [len(parent) for parent in parents] == [80, 30]
        clusters = _clusters(labels, tmp_path)
        drawn, every = hierarchy.balanced(clusters, parents, target=180, seed=seed)
        assert every == len(modes)
        assert drawn.height == drawn["image_id"].n_unique() == 180
        counts.append(np.bincount(modes[drawn["image_id"].to_numpy()], minlength=6))
    plain = 180 * np.bincount(modes) / len(modes)
    smallest, largest = np.median(np.sort(counts, axis=1)[:, [0, -1]], axis=0)
    assert smallest >= 10 > 5 * plain.min()
    assert largest < 0.85 * plain.max()


def test_a_draw_does_not_depend_on_the_order_of_images(
    pool: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    labels, _ = kmeans.assign(pool[0], pool[0][:20].astype(np.float32))
    parents = [np.arange(20) % 5]
    drawn, _ = hierarchy.balanced(_clusters(labels, tmp_path), parents, target=180, seed=0)
    order = np.random.default_rng(1).permutation(len(labels))
    again, _ = hierarchy.balanced(_clusters(labels, tmp_path, order), parents, target=180, seed=0)
    assert again.equals(drawn)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.floats(0, 1))
def test_exactly_the_target_and_nothing_twice(labels: list[int], share: float) -> None:
    target = max(1, int(share * len(labels)))
    parents = [np.array([0, 1, 1, 2, 2, 2, 0, 1]), np.array([0, 0, 1])]
    with tempfile.TemporaryDirectory() as folder:
        clusters = replace(_clusters(np.array(labels), Path(folder)), num_clusters=8)
        drawn, _ = hierarchy.balanced(clusters, parents, target=target, seed=1)
    assert drawn.height == drawn["image_id"].n_unique() == target


def test_mistakes(tmp_path: Path) -> None:
    points = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    with pytest.raises(InputError, match="1 to 9 clusters above a level of 10"):
        hierarchy.fit(points, levels=(10,), **LEVELS)
    clusters = _clusters(np.zeros(5, np.int64), tmp_path)
    with pytest.raises(InputError, match="1 to 5"):
        hierarchy.balanced(clusters, [], target=6, seed=0)
