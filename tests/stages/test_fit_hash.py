"""src/fit_hash.py: the same artefact for any sharding, and its two kinds of input."""

from pathlib import Path

import numpy as np
import pytest
from tests.stages.command import command
from tests.stages.conftest import Run

import fit_hash
from sauropod.config import Hash
from sauropod.dedup import pca_hash
from sauropod.errors import InputError


def test_the_artefact_is_the_pca_of_the_pool(curation: Run) -> None:
    found = pca_hash.load(curation.folder / "pca.safetensors")
    pool = curation.world.pool.astype(np.float16).astype(np.float64)
    distinct = np.unique(pool, axis=0)
    np.testing.assert_allclose(found.mean, distinct.mean(axis=0), atol=1e-9)
    spread = np.linalg.eigvalsh(np.cov(distinct.T, bias=True))[::-1][:64]
    np.testing.assert_allclose(((distinct - found.mean) @ found.components).var(axis=0), spread)


def test_pixels_need_images(curation: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--images"):
        fit_hash.main(
            out=tmp_path / "p.safetensors",
            knobs=Hash(features="pixels"),
            descriptors=curation.pool("describe"),
        )


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--sample" in command("fit_hash", "--help").stdout
    out = tmp_path / "p.safetensors"
    done = command("fit_hash", "--out", out, "--descriptors", *curation.pool("images"))
    assert done.returncode == 2
    assert "a table DESCRIPTORS" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
