"""plan: a table, JSON, advice, and mistakes in one sentence."""

import json
from pathlib import Path

from tests.stages.command import command

PAPER = Path(__file__).parents[2] / "config" / "lvd142m.yaml"


def test_table_and_advice() -> None:
    ended = command("plan", "--config", PAPER, "--budget-gpu-hours", 1e4)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].split()[:2] == ["stage", "jobs"]
    assert "manifest: 142,109,386 rows" in lines
    assert "the paper: less than 2 days on 160 V100" in ended.stdout
    assert "budget of 10,000 GPU-hours" in ended.stdout
    assert "waits for one job" not in ended.stdout


def test_json_and_a_preset_on_top() -> None:
    preset = PAPER.parent / "presets" / "dinov2_l14.yaml"
    ended = command("plan", "--config", PAPER, preset, "--json", "True")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["final"] == 142_109_386
    assert sum(row["final"] for row in told["recipe"]) == told["final"]
    whole = json.loads(command("plan", "--config", PAPER, "--json", "True").stdout)
    assert told["gpu_hours"] < whole["gpu_hours"]


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    ended = command("plan", "--config", tmp_path / "none.yaml")
    assert ended.returncode == 2
    assert "expected a YAML file" in ended.stderr
