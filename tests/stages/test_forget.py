"""forget: says what it would do, does it, lists what was trained on it, and why.py tells."""

from pathlib import Path

from tests.sauropod.ledger.conftest import URLS, build
from tests.stages.command import command


def test_dry_run_then_forget_then_why(tmp_path: Path) -> None:
    run = build(tmp_path)
    asked = tmp_path / "urls.txt"
    asked.write_text(URLS[0] + "\n")
    before = {p: p.read_bytes() for p in run.results.rglob("*") if p.is_file()}
    flags = ["forget", "--results", run.results, "--urls", asked]
    would = command(*flags, "--dry-run", "True")
    assert would.returncode == 0, would.stderr
    assert would.stdout.startswith("would forget 1 images, ")
    assert {p: p.read_bytes() for p in run.results.rglob("*") if p.is_file()} == before
    did = command(*flags)
    assert did.returncode == 0, did.stderr
    files = would.stdout.splitlines()[1:]
    assert did.stdout.splitlines()[1 : len(files) + 1] == files
    assert "trained on forgotten images: " + str(run.results / "adapt") in did.stdout
    for flag, value in (("--url", URLS[0]), ("--image-id", run.ids[URLS[0]])):
        told = command("why", "--results", run.results, flag, value)
        assert told.returncode == 0, told.stderr
        assert "forgotten on request" in told.stdout
        assert URLS[0] not in told.stdout


def test_nothing_asked_is_one_sentence(tmp_path: Path) -> None:
    ended = command("forget", "--results", tmp_path)
    assert ended.returncode == 2
    assert "--urls, --domains, --sha256: expected something to forget" in ended.stderr
