"""Leftovers of a killed run: only the jobs that its log owns are cancelled."""

from pathlib import Path

import pytest

from sauropod.slurm import ask, cancel_leftovers, is_here

SQUEUE = """#!/bin/sh
case "$*" in
  *--format=%j*) cat {names} ;;
  *--name=ours*) cat {jobs} ;;
esac
"""
SCANCEL = "#!/bin/sh\necho $* > {asked}\n: > {jobs}\n"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm of two shell scripts: jobs 7 and 8 are called `ours`, and there are others."""
    files = {name: tmp_path / name for name in ("names", "jobs", "asked")}
    files["names"].write_text("ours\nours\nanother\n")
    files["jobs"].write_text("7\n8\n")
    for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text.format(**files))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return files["asked"]


def test_jobs_of_this_folders_runs_are_cancelled(queue: Path, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("Building DAG\nSLURM run ID: ours\nmore\n")
    (tmp_path / "b.log").write_text("SLURM run ID: long_gone\n")
    assert cancel_leftovers(tmp_path) == 2
    assert queue.read_text() == "7 8\n"


def test_jobs_of_other_folders_are_left_alone(queue: Path, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("SLURM run ID: long_gone\n")
    assert cancel_leftovers(tmp_path) == 0
    assert not queue.exists()


def test_without_slurm_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_here()
    assert cancel_leftovers(tmp_path) == 0


def test_a_failing_command_says_nothing() -> None:
    assert ask("sh", "-c", "echo no; exit 1") == ""
    assert ask("sh", "-c", "echo yes") == "yes\n"
