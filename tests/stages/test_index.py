"""src/index.py: every embedding of the pool is in the index."""

from pathlib import Path

from tests.stages.conftest import UNIQUE, Run, command, summary_of

from sauropod.retrieve import index


def test_everything_is_added(curation: Run) -> None:
    assert index.load(curation.folder / "index.faiss", num_probes=1).ntotal == UNIQUE
    assert summary_of(curation.at("index", "summary")) == {("index", "kept"): UNIQUE}


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--factory" in command("index", "--help").stdout
    out = ("--out", tmp_path / "x.faiss", "--summary", tmp_path / "s")
    done = command("index", "--embeddings", *curation.pool("describe"), *out)
    assert done.returncode == 2
    assert "a table EMBEDDINGS" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
