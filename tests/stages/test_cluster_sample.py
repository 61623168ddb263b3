"""src/cluster_sample.py: the same sample from one, three and seven shards."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.stages.command import command, summary_of
from tests.stages.conftest import UNIQUE, Run

from sauropod.retrieve.vector_file import mapped


def test_shard_count_does_not_matter(make_run: Callable[[int], Run], curation: Run) -> None:
    sample = mapped(curation.folder / "sample.safetensors")
    assert sample.shape == (100, 16)
    assert summary_of(curation.at("cluster", "summary")) == {("cluster_sample", "kept"): UNIQUE}
    other = make_run(7)
    for stage in (other.hash, other.link, other.dedup, other.keep):
        stage()
    other.cluster(other.folder / "centroids.safetensors")
    np.testing.assert_array_equal(mapped(other.folder / "sample.safetensors"), sample)


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--sample" in command("cluster_sample", "--help").stdout
    out = ("--copies", curation.copies, "--out", tmp_path / "s", "--summary", tmp_path / "t")
    done = command("cluster_sample", "--embeddings", *curation.pool("images"), *out)
    assert done.returncode == 2
    assert "expected a table EMBEDDINGS" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
