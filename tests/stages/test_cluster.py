"""src/cluster.py: the whole pool is assigned to its nearest centroid."""

from pathlib import Path

import numpy as np
from tests.stages.conftest import UNIQUE, Run, command, summary_of

from sauropod import schema
from sauropod.retrieve import kmeans
from sauropod.retrieve.vectors import StoredVectors


def test_nearest_centroids(curation: Run) -> None:
    centroids = kmeans.load(curation.folder / "centroids.safetensors")
    assert centroids.shape == (8, 16)
    clusters = schema.read(curation.at("cluster", "clusters"), schema.CLUSTERS)
    stored = StoredVectors(curation.pool("embed"), schema.EMBEDDINGS)
    ids = np.concatenate([ids for ids, _ in stored])
    vectors = np.concatenate(list(stored.arrays())).astype(np.float64)
    apart = ((vectors[:, None] - centroids[None]) ** 2).sum(2)
    np.testing.assert_array_equal(clusters["image_id"], ids)
    np.testing.assert_array_equal(clusters["cluster"], apart.argmin(1))
    np.testing.assert_allclose(clusters["distance"], apart.min(1), rtol=1e-4)
    assert summary_of(curation.at("cluster", "summary")) == {("cluster", "kept"): UNIQUE}


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--iterations" in command("cluster", "--help").stdout
    out = ("--out", tmp_path / "c", "--centroids", tmp_path / "m", "--summary", tmp_path / "s")
    done = command("cluster", "--embeddings", *curation.pool("embed"), *out, "--clusters", 999)
    assert done.returncode == 2
    assert "cluster.clusters: expected 1 to 150" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
