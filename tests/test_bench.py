"""The benchmarks of training explain themselves and run at a toy size; nothing looks at times."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench"
SCRIPTS = ["train_step"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.setattr(sys, "path", [str(BENCH), *sys.path])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(BENCH / f"{script}.py"), run_name="__main__")
    assert stop.value.code == 0
    assert "--repeats" in capsys.readouterr().out


def test_a_training_step_is_measured_without_the_reference() -> None:
    flags = "--arch vit_tiny --depth 1 --global-size 28 --local-size 14 --prototypes 32"
    flags += " --batch-size 2 --device cpu --threads 1 --warmup 0 --repeats 2 --turn 2"
    done = subprocess.run(
        [sys.executable, BENCH / "train_step.py", *flags.split()],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| ours | " in done.stdout
    assert "reference |" not in done.stdout.splitlines()[-1]
