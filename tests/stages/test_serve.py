"""The script serve.py as Snakemake runs it: hosts file, answers, SIGTERM, exit codes."""

import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "src" / "serve.py"


def site(root: Path) -> Path:
    """Make a site of one page."""
    (root / "site/a.test").mkdir(parents=True)
    (root / "site/a.test/index.html").write_text("hello")
    (root / "site/behaviours.json").write_text("{}")
    return root / "site"


def test_serves_until_sigterm_and_exits_0(tmp_path: Path) -> None:
    hosts = tmp_path / "run/hosts"
    command = [sys.executable, SCRIPT, "--site", site(tmp_path), "--hosts", hosts]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while not hosts.exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        address, host = hosts.read_text().split()
        request = urllib.request.Request(f"http://{address}/", headers={"Host": host})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.read() == b"hello"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the script to its end."""
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True
    )


def test_serves_while_a_command_runs_and_ends_as_it_does(tmp_path: Path) -> None:
    visit = (
        "import sys, urllib.request as r\n"
        "address, host = open(sys.argv[sys.argv.index('--hosts') + 1]).read().split()\n"
        "print(r.urlopen(r.Request(f'http://{address}/', headers={'Host': host})).read())\n"
        "sys.exit(75)"
    )
    ended = run("--site", site(tmp_path), "--", sys.executable, "-c", visit, "--out", "x")
    assert ended.stdout == "b'hello'\n", ended.stderr
    assert ended.returncode == 75


def test_sigterm_reaches_the_command(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    wait = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    command = [sys.executable, SCRIPT, "--site", site(tmp_path), "--", sys.executable, "-c", wait]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not ready.exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM


def test_a_command_without_a_site_is_not_run(tmp_path: Path) -> None:
    ended = run("--site", tmp_path / "no", "--", sys.executable, "-c", "print('ran')")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert run("--site", site(tmp_path)).returncode == 2


def test_help_and_a_missing_site(tmp_path: Path) -> None:
    help_text = run("--help")
    assert help_text.returncode == 0
    assert "--hosts" in help_text.stdout
    mistake = run("--site", tmp_path / "no", "--hosts", tmp_path / "hosts")
    assert mistake.returncode == 2
    assert "demo.py" in mistake.stderr
    assert list(tmp_path.iterdir()) == []
