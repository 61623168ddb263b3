"""src/assign.py: every image of a block is assigned to its nearest centroid."""

from pathlib import Path

import numpy as np
from tests.stages.command import command, summary_of
from tests.stages.conftest import UNIQUE, Run

from sauropod import schema
from sauropod.retrieve import kmeans
from sauropod.retrieve.vectors import StoredVectors


def test_nearest_centroids(curation: Run) -> None:
    centroids = kmeans.load(curation.folder / "centroids.safetensors")
    clusters = schema.read(curation.in_blocks("cluster"), schema.CLUSTERS)
    stored = StoredVectors(curation.pool("embed"), schema.EMBEDDINGS)
    ids = np.concatenate([ids for ids, _ in stored])
    vectors = np.concatenate(list(stored.arrays())).astype(np.float64)
    apart = ((vectors[:, None] - centroids[None]) ** 2).sum(2)
    np.testing.assert_array_equal(clusters["image_id"], ids)
    np.testing.assert_array_equal(clusters["cluster"], apart.argmin(1))
    np.testing.assert_allclose(clusters["distance"], apart.min(1), rtol=1e-4)
    counts = [summary_of(curation.at("cluster_summary", name)) for name in curation.blocks]
    assert sum(count["cluster", "kept"] for count in counts) == UNIQUE


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--centroids" in command("assign", "--help").stdout
    words = ("--embeddings", curation.pool("embed")[0], "--images", curation.pool("images")[1])
    words += ("--block", "a", "--centroids", curation.folder / "centroids.safetensors")
    words += ("--out", tmp_path / "c", "--summary", tmp_path / "s")
    done = command("assign", *words)
    assert done.returncode == 2
    assert "give EMBEDDINGS and IMAGES of one shard" in done.stderr.splitlines()[-1]
    more = command("assign", *words, "--images", *curation.pool("images")[:2])
    assert more.returncode == 2
    assert "--images: expected 1 files, one for each of --embeddings, found 2" in more.stderr
    assert list(tmp_path.iterdir()) == []
