"""src/link_index.py: every descriptor of a block but the hash duplicates and the broken ones."""

from pathlib import Path

from tests.stages.command import command
from tests.stages.conftest import TWINS, Run

from sauropod.retrieve import index


def test_hash_duplicates_are_left_out(curation: Run) -> None:
    built = [index.load(curation.folder / f"{name}.faiss") for name in curation.blocks]
    assert len(built) == 2
    assert sum(block.ntotal for block in built) == len(curation.world.pool) - TWINS


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--trained" in command("link_index", "--help").stdout
    inputs = ("--duplicates", curation.at("hash", "duplicates"), "--out", tmp_path / "x.faiss")
    narrow = curation.folder / "index.faiss"
    for trained, files, sentence in (
        (narrow, curation.pool("describe"), "an index of 72 dimensions, found 16"),
        (curation.folder / "no.faiss", curation.pool("describe"), "a Faiss index"),
        (narrow, [tmp_path / "no.parquet"], "found no such file"),
    ):
        done = command("link_index", "--descriptors", *files, "--trained", trained, *inputs)
        assert done.returncode == 2
        assert sentence in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
