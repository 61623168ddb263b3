"""retrieve.kmeans: Faiss's objective, killed and resumed to the bit, any number of ranks."""

import os
import signal
import socket
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.errors import InputError
from sauropod.retrieve import kmeans, members
from sauropod.train.sharding import Ranks, joined


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
    assert objectives[-1] == pytest.approx(_objective(points, ours), rel=1e-3)
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


def _same_start(points: np.ndarray) -> tuple[float, float]:
    """Objectives of ours and of Faiss from the same centroids."""
    start, _ = kmeans.fit(points, num_clusters=100, num_iterations=0, seed=4)
    model = faiss.Kmeans(16, 100, niter=12, seed=4, max_points_per_centroid=10**9)
    model.train(points.astype(np.float32), init_centroids=start)
    ours, _ = kmeans.fit(points, num_clusters=100, num_iterations=12, seed=4)
    return _objective(points, ours), _objective(points, model.centroids)


def test_from_faiss_start_comes_faiss_end(points: np.ndarray) -> None:
    ours, theirs = _same_start(points)
    assert ours == pytest.approx(theirs, rel=1e-6)


def _lumps() -> np.ndarray:
    """Points of which most coincide: clusters are empty and repaired all the time."""
    rng = np.random.default_rng(3)
    points = np.concatenate([np.zeros((900, 4)), rng.standard_normal((100, 4))])
    return rng.permutation(points).astype(np.float16)


def _fit_until_killed(stop: int, two_level: bool, checkpoint: Path) -> None:
    """Kill this process with its `stop`-th checkpoint half written."""
    whole, left = kmeans.save, iter(range(stop))

    def mortal(centroids: np.ndarray, path: Path, **told: object) -> None:
        if next(left, None) is None:
            path.with_name(".half.tmp").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        whole(centroids, path, **told)  # pyright: ignore[reportArgumentType]

    kmeans.save = mortal
    work = kmeans.fit_two_level if two_level else kmeans.fit
    work(_lumps(), num_clusters=30, num_iterations=6, seed=1, checkpoint=checkpoint)


@pytest.mark.parametrize(("stop", "two_level"), [(0, False), (2, False), (5, False), (11, True)])
def test_killed_and_resumed_equals_uninterrupted(
    stop: int, two_level: bool, tmp_path: Path
) -> None:
    state = tmp_path / "kmeans.safetensors"
    context = mp.get_context("fork")
    child = context.Process(target=_fit_until_killed, args=(stop, two_level, state))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    work = kmeans.fit_two_level if two_level else kmeans.fit
    options = {"num_clusters": 30, "num_iterations": 6, "seed": 1}
    whole, objectives = work(_lumps(), **options)
    resumed, again = work(_lumps(), **options, checkpoint=state)
    np.testing.assert_array_equal(resumed, whole)
    assert again == objectives


def _rank(rank: int, port: int, out: Path) -> None:
    members.CHUNK = 64
    place = Ranks(rank=rank, world_size=2, local_rank=rank, port=port)
    with joined(place, torch.device("cpu")):
        means, costs = kmeans.fit(_lumps(), num_clusters=30, num_iterations=6, seed=1)
    np.savez(out / f"{rank}.npz", means=means, costs=costs)


def test_two_ranks_give_the_bits_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(_rank, args=(port, tmp_path), nprocs=2, start_method="fork")
    monkeypatch.setattr(members, "CHUNK", 64)
    means, costs = kmeans.fit(_lumps(), num_clusters=30, num_iterations=6, seed=1)
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            np.testing.assert_array_equal(found["means"], means)
            np.testing.assert_array_equal(found["costs"], costs)


def test_sums_of_half_precision_are_exact() -> None:
    """However the vectors are ordered and cut."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((5000, 8)).astype(np.float16)
    centroids = points[:5].astype(np.float32)
    sums, sizes = members.Members(points, 5).add_up(centroids)
    again, counted = members.Members(points[rng.permutation(5000)], 5).add_up(centroids)
    np.testing.assert_array_equal(again, sums)
    np.testing.assert_array_equal(counted, sizes)


def test_checkpoint_of_another_run_is_not_used(points: np.ndarray, tmp_path: Path) -> None:
    state = tmp_path / "kmeans.safetensors"
    kmeans.fit(points, num_clusters=20, num_iterations=2, seed=1, checkpoint=state)
    for vectors, seed, count in [(points, 2, 2), (points[1:], 1, 2), (points, 1, 1)]:
        options = {"num_clusters": 20, "num_iterations": count, "seed": seed}
        expected, _ = kmeans.fit(vectors, **options)
        found, _ = kmeans.fit(vectors, **options, checkpoint=state)
        np.testing.assert_array_equal(found, expected)


def test_two_levels_are_nearly_as_good_as_one(points: np.ndarray) -> None:
    options = {"num_clusters": 64, "num_iterations": 10, "seed": 0}
    two, _ = kmeans.fit_two_level(points, **options)
    one, _ = kmeans.fit(points, **options)
    assert two.shape == one.shape
    assert _objective(points, two) < 1.1 * _objective(points, one)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_shares_are_proportional(sizes: list[int], share: float) -> None:
    total = int(share * sum(sizes))
    found = kmeans.shares(np.array(sizes), total)
    assert found.sum() == total
    assert (found <= sizes).all()
    exact = np.array(sizes) * total / max(sum(sizes), 1)
    assert (np.abs(found - exact) < 1).all()


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
    with pytest.raises(InputError, match="1 to 3000"):
        kmeans.fit_two_level(points, num_clusters=3001, num_iterations=1, seed=0)


def test_not_a_number_is_the_users_mistake(points: np.ndarray) -> None:
    broken = points.copy()
    broken[7, 3] = np.nan
    with pytest.raises(InputError, match="finite"):
        kmeans.fit(broken, num_clusters=3, num_iterations=1, seed=0)
    labels, distances = kmeans.assign(broken, points[:3].astype(np.float32))
    assert np.flatnonzero(~np.isfinite(distances)).tolist() == [7]
    assert labels.min() >= -1


def test_nearest_members_by_hand() -> None:
    points = np.array([[0.0], [3], [1], [10], [11]], np.float32)
    means = np.array([[0.0], [10]], np.float32)
    assert kmeans.nearest_members(points, means, count=2).tolist() == [0, 2, 3, 4]


def test_resampling_evens_centroids_out() -> None:
    """Of 1000 points in one place and 20 in another, far more than a fair share of centroids."""
    rng = np.random.default_rng(0)
    places = np.repeat([[0.0, 0.0], [9.0, 9.0]], [1000, 20], axis=0)
    points = (places + rng.standard_normal((1020, 2))).astype(np.float16)
    means, _ = kmeans.fit(points, num_clusters=16, num_iterations=10, seed=0)
    options = {"points_per_cluster": 3, "num_iterations": 10, "seed": 0}
    even = kmeans.resampled(points, means, steps=5, **options)
    assert (even[:, 0] > 5).sum() >= (means[:, 0] > 5).sum()
    np.testing.assert_array_equal(kmeans.resampled(points, means, steps=0, **options), means)
