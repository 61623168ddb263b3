"""src/cluster.py: centroids of the sample; what it refuses."""

from pathlib import Path

from tests.stages.command import command
from tests.stages.conftest import Run

from sauropod.retrieve import kmeans
from sauropod.retrieve.vector_file import inputs


def test_centroids_say_what_they_were_fitted_on(curation: Run) -> None:
    path = curation.folder / "centroids.safetensors"
    assert kmeans.load(path).shape == (8, 16)
    assert inputs(path) == curation.pool("embed")


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--iterations" in command("cluster", "--help").stdout
    words = ("--vectors", curation.folder / "sample.safetensors", "--out", tmp_path / "c")
    done = command("cluster", *words, "--clusters", 999)
    assert done.returncode == 2
    assert "cluster.clusters: expected 1 to 100" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_resampling_moves_the_centroids(curation: Run, tmp_path: Path) -> None:
    words = ("--vectors", curation.folder / "sample.safetensors", "--out", tmp_path / "c")
    words += ("--clusters", 8, "--iterations", 5, "--resampling-steps", 2)
    assert command("cluster", *words, "--points-per-cluster", 3).returncode == 0
    plain = kmeans.load(curation.folder / "centroids.safetensors")
    assert (kmeans.load(tmp_path / "c") != plain).any()
