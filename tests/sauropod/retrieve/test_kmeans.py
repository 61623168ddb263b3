"""retrieve.kmeans: Faiss's objective, resume to the bit, empty clusters repaired."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from sauropod.errors import InputError
from sauropod.retrieve import kmeans


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, 16)) * 2
    return (centres[rng.integers(0, 30, 3000)] + rng.standard_normal((3000, 16))).astype(np.float16)


def _objective(points: np.ndarray, centroids: np.ndarray) -> float:
    wide = points.astype(np.float64)
    return float(((wide[:, None] - centroids[None]) ** 2).sum(2).min(1).sum())


def test_one_iteration_by_hand() -> None:
    points = np.array([[0, 0], [0, 2], [10, 0], [10, 2]], np.float32)
    centroids, objectives = kmeans.fit(points, num_clusters=1, num_iterations=2, seed=0)
    np.testing.assert_allclose(centroids, [[5, 1]])
    assert objectives[-1] == pytest.approx(4 * 26)


def test_objective_is_as_good_as_faiss(points: np.ndarray) -> None:
    ours, objectives = kmeans.fit(points, num_clusters=30, num_iterations=15, seed=0)
    assert (np.diff(objectives) <= 1e-3).all()
    theirs = []
    for seed in range(5):
        model = faiss.Kmeans(16, 30, niter=15, seed=seed)
        model.train(points.astype(np.float32))
        theirs.append(_objective(points, model.centroids))
    assert _objective(points, ours) < max(theirs) * 1.001


def test_assignment_is_brute_force(points: np.ndarray) -> None:
    centroids = points[:7].astype(np.float32)
    labels, distances = kmeans.assign(points, centroids)
    apart = ((points.astype(np.float64)[:, None] - centroids[None]) ** 2).sum(2)
    np.testing.assert_array_equal(labels, apart.argmin(1))
    np.testing.assert_allclose(distances, apart.min(1), rtol=1e-5)


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_resumed_equals_uninterrupted(stop: int, tmp_path: Path) -> None:
    """On points of which most coincide, so that clusters are empty and repaired all the time."""
    rng = np.random.default_rng(3)
    points = np.concatenate([np.zeros((900, 4)), rng.standard_normal((100, 4))])
    points = points.astype(np.float16)
    options = {"num_clusters": 60, "seed": 1}
    whole, objectives = kmeans.fit(points, num_iterations=6, **options)
    state = tmp_path / "kmeans.safetensors"
    kmeans.fit(points, num_iterations=stop, checkpoint=state, **options)
    resumed, again = kmeans.fit(points, num_iterations=6, checkpoint=state, **options)
    np.testing.assert_array_equal(resumed, whole)
    assert again == objectives


def test_checkpoint_of_another_run_is_not_used(points: np.ndarray, tmp_path: Path) -> None:
    state = tmp_path / "kmeans.safetensors"
    kmeans.fit(points, num_clusters=20, num_iterations=2, seed=1, checkpoint=state)
    for vectors, seed, count in [(points, 2, 2), (points[1:], 1, 2), (points, 1, 1)]:
        options = {"num_clusters": 20, "num_iterations": count, "seed": seed}
        expected, _ = kmeans.fit(vectors, **options)
        found, _ = kmeans.fit(vectors, **options, checkpoint=state)
        np.testing.assert_array_equal(found, expected)


def test_an_empty_cluster_gets_half_of_a_large_one() -> None:
    """Clusters of one vector are never split; both halves stay around the old mean."""
    means = np.array([[9.0, 9.0], [1.0, 2.0], [5.0, 5.0]])
    sizes = np.array([0, 10, 1])
    for seed in range(5):
        generator = np.random.default_rng(seed)
        repaired = kmeans._repair(means.copy(), sizes, generator)
        up, down = 1 + kmeans.SPLIT, 1 - kmeans.SPLIT
        np.testing.assert_allclose(repaired, [[up, 2 * down], [down, 2 * up], [5, 5]])


def test_empty_clusters_are_repaired_in_a_run() -> None:
    rng = np.random.default_rng(3)
    points = np.concatenate([np.zeros((900, 4)), rng.standard_normal((100, 4))]).astype(np.float32)
    centroids, _ = kmeans.fit(points, num_clusters=10, num_iterations=5, seed=0)
    labels, _ = kmeans.assign(points, centroids)
    assert len(np.unique(labels)) == 10


def test_save_load_and_mistakes(points: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    kmeans.save(points[:3].astype(np.float32), path, objectives=[1.0], metadata={"stage": "x"})
    np.testing.assert_array_equal(kmeans.load(path), points[:3].astype(np.float32))
    with pytest.raises(InputError, match="expected centroids"):
        kmeans.load(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="1 to 3000"):
        kmeans.fit(points, num_clusters=3001, num_iterations=1, seed=0)
