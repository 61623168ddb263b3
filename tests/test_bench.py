"""The benchmarks of training explain themselves and run at a toy size; nothing looks at times."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench"
SCRIPTS = ["train_step", "end_to_end", "distill", "losses"]
TOY = {"depth": 1, "global-size": 28, "local-size": 14, "prototypes": 32, "batch-size": 2}


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


def run(script: str, *flags: str) -> str:
    done = subprocess.run(
        [sys.executable, BENCH / f"{script}.py", "--device", "cpu", *flags],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_training_step_is_measured_without_the_reference() -> None:
    toy = [f"--{name}={value}" for name, value in TOY.items()]
    turns = ["--threads=1", "--warmup=0", "--repeats=2", "--turn=2"]
    printed = run("train_step", "--arch", "vit_tiny", *toy, *turns)
    assert "| ours | " in printed
    assert "| reference | " not in printed


def test_training_from_tars_is_measured() -> None:
    toy = [f"--case.{name}={value}" for name, value in TOY.items()]
    printed = run("end_to_end", "--arch=vit_tiny", "--photos=3", "--repeats=1", *toy)
    assert "| images_per_s | " in printed
