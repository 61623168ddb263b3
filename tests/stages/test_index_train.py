"""src/index_train.py: an empty index, trained once for all blocks."""

from pathlib import Path

from tests.stages.command import command
from tests.stages.conftest import Run

from sauropod.retrieve import index


def test_the_trained_index_is_empty(curation: Run) -> None:
    trained = index.load(curation.folder / "index.faiss")
    assert (trained.ntotal, trained.d) == (0, 16)


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--factory" in command("index_train", "--help").stdout
    out = ("--copies", curation.copies, "--out", tmp_path / "x.faiss")
    done = command("index_train", "--embeddings", *curation.pool("describe"), *out)
    assert done.returncode == 2
    assert "a table EMBEDDINGS" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
