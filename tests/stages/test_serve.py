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


def test_help_and_a_missing_site(tmp_path: Path) -> None:
    help_text = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True)
    assert help_text.returncode == 0
    assert "--hosts" in help_text.stdout
    command = [sys.executable, SCRIPT, "--site", tmp_path / "no", "--hosts", tmp_path / "hosts"]
    mistake = subprocess.run(command, capture_output=True, text=True)
    assert mistake.returncode == 2
    assert "demo.py" in mistake.stderr
    assert list(tmp_path.iterdir()) == []
