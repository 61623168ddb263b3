"""src/balance.py: a manifest of exactly the target, without a curated set."""

from pathlib import Path

from tests.stages.command import command, summary_of
from tests.stages.conftest import UNIQUE, Run

from sauropod import schema


def test_command_line(curation: Run, tmp_path: Path) -> None:
    words = ("--images", *curation.pool("images"), "--levels", 4, 2, "--iterations", 3)
    words += ("--centroids", curation.folder / "centroids.safetensors")
    words += ("--clusters", *curation.in_blocks("cluster"), "--copies", curation.copies)
    words += ("--out", tmp_path / "b.parquet", "--summary", tmp_path / "s.parquet")
    done = command("balance", *words, "--target", UNIQUE + 1)
    assert done.returncode == 2
    assert f"balance.target: expected 1 to {UNIQUE}" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
    assert command("balance", *words, "--target", 20).returncode == 0
    rows = schema.read(tmp_path / "b.parquet", schema.MANIFEST)
    assert rows.height == rows["sha256"].n_unique() == 20
    assert rows["sha256"].is_sorted()
    assert rows["cluster"].null_count() == 0
    assert set(rows["source"]) == {"balanced"}
    counts = summary_of(tmp_path / "s.parquet")
    assert counts == {("balance", "kept"): 20, ("balance", "not_drawn"): UNIQUE - 20}
