"""src/link_index.py: every descriptor but the hash duplicates."""

from pathlib import Path

from tests.stages.conftest import TWINS, Run, command

from sauropod.retrieve import index


def test_hash_duplicates_are_left_out(curation: Run) -> None:
    built = index.load(curation.folder / "link.faiss", num_probes=1)
    assert built.ntotal == len(curation.world.pool) - TWINS


def test_command_line(curation: Run, tmp_path: Path) -> None:
    assert "--rotation-iterations" in command("link_index", "--help").stdout
    inputs = ("--descriptors", *curation.pool("describe"))
    out = ("--out", tmp_path / "x.faiss")
    inputs = (*inputs, "--duplicates", curation.at("hash", "duplicates"))
    done = command("link_index", *inputs, *out, "--factory", "IVF4,PQ7")
    assert done.returncode == 2
    assert "factory string for 72 dimensions" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
