"""Exit codes and messages of stage scripts, as processes."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
SCRIPT = """
    import sys
    sys.path.insert(0, {src!r})
    from pathlib import Path
    from sauropod import cli
    from sauropod.config import Embed
    from sauropod.errors import Checkpointed, InputError

    def main(*, out: Path, how: str, knobs: cli.Knobs[Embed], workers: int = 0) -> None:
        '''Do one thing.'''
        if how == "mistake":
            raise InputError("x.yaml", expected="a", found="b", fix="c")
        if how == "signal":
            raise Checkpointed("step 3")
        if how == "bug":
            raise ValueError("no")
        out.write_text(str(knobs.crop))

    cli.run(main)
"""


def run(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run the script above with flags."""
    script = tmp_path / "thing.py"
    script.write_text(textwrap.dedent(SCRIPT.format(src=str(SRC))))
    command = [sys.executable, str(script), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_done(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(tmp_path, "--out", str(out), "--how", "well", "--crop", "64")
    assert result.returncode == 0, result.stderr
    assert out.read_text() == "64"
    assert "crop=64" in result.stderr
    assert "thing.py: done in" in result.stderr


@pytest.mark.parametrize(
    ("how", "code", "ending"),
    [
        ("mistake", 2, "thing.py: error: x.yaml: expected a, found b; c\n"),
        ("signal", 75, "thing.py: step 3\n"),
        ("bug", 1, "thing.py: this is a bug in sauropod, please report it\n"),
    ],
)
def test_exit_codes(tmp_path: Path, how: str, code: int, ending: str) -> None:
    result = run(tmp_path, "--out", str(tmp_path / "out"), "--how", how)
    assert result.returncode == code
    assert result.stderr.endswith(ending)
    assert ("Traceback" in result.stderr) == (how == "bug")


def test_help_nobody_reads_is_no_bug() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-u", str(SRC / "dedup.py"), "--help"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert result.returncode == 141
    assert result.stderr == "dedup.py: stopped, for what reads its output is gone\n"


def test_unknown_flag_is_the_users_mistake(tmp_path: Path) -> None:
    result = run(tmp_path, "--out", "x", "--how", "well", "--crp", "3")
    assert result.returncode == 2
    assert "--crop" in result.stdout + result.stderr


def test_a_configuration_gives_the_defaults_and_flags_win(tmp_path: Path) -> None:
    config, out = tmp_path / "c.yaml", tmp_path / "out"
    config.write_text("embed: {crop: 64, resize: 70}")
    flags = ["--config", str(config), "--out", str(out), "--how", "well"]
    assert run(tmp_path, *flags).returncode == 0
    assert out.read_text() == "64"
    result = run(tmp_path, "--crop", "65", *flags)
    assert out.read_text() == "65"
    assert "resize=70" in result.stderr
    shown = run(tmp_path, "--config", str(config), "--help").stdout
    assert "(default: 64)" in shown
    assert "block `embed`" in " ".join(shown.replace("│", " ").split())


def test_a_mistake_in_a_configuration_is_one_sentence(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("embed: {crp: 64}")
    result = run(tmp_path, "--out", "x", "--how", "well", "--config", str(config))
    assert result.returncode == 2
    fix = "embed: expected a known knob, found 'crp'; write 'crop'\n"
    assert result.stderr == f"thing.py: error: {config}: {fix}"
