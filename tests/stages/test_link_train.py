"""src/link_train.py: an empty index, trained once for all blocks."""

from pathlib import Path

from tests.stages.command import command
from tests.stages.conftest import Run

from sauropod.retrieve import index


def test_the_trained_index_is_empty(curation: Run) -> None:
    trained = index.load(curation.folder / "trained.faiss")
    assert (trained.ntotal, trained.d) == (0, 72)
    assert not index.is_exact(trained)


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--rotation-iterations" in command("link_train", "--help").stdout
    inputs = ("--descriptors", *curation.pool("describe"), "--out", tmp_path / "x.faiss")
    done = command("link_train", *inputs, "--factory", "IVF4,PQ7")
    assert done.returncode == 2
    assert "factory string for 72 dimensions" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
