"""src/index.py: every embedding of a block is in its index."""

from pathlib import Path

from tests.stages.command import command, summary_of
from tests.stages.conftest import UNIQUE, Run

from sauropod.retrieve import index


def test_everything_is_added(curation: Run) -> None:
    built = [index.load(curation.folder / "index" / f"{name}.faiss") for name in curation.blocks]
    assert sum(block.ntotal for block in built) == UNIQUE
    counts = [summary_of(curation.at("index", name)) for name in curation.blocks]
    assert sum(found["index", "kept"] for found in counts) == UNIQUE


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--factory" in command("index", "--help").stdout
    out = (
        "--copies",
        curation.copies,
        "--out",
        tmp_path / "x.faiss",
        "--summary",
        tmp_path / "s",
        "--block",
        "x",
    )
    out = (*out, "--trained", curation.folder / "index.faiss")
    done = command("index", "--embeddings", *curation.pool("describe"), *out)
    assert done.returncode == 2
    assert "a table EMBEDDINGS" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
