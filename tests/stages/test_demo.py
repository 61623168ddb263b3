"""The script demo.py: a world from the command line, and a mistake that ends with exit code 2."""

import sys
from pathlib import Path

import pytest

import demo
from sauropod import cli
from sauropod.demo.config import Demo

TINY = Demo(
    image_size=32,
    pool_images=40,
    curated_objects=2,
    curated_fine=1,
    curated_places=1,
    train_per_class=1,
    val_per_class=1,
    large_per_class=2,
    dense_images=3,
    instances=1,
    clips_per_action=1,
    clip_frames=2,
    detector_images=4,
)


def test_main_writes_a_world(tmp_path: Path) -> None:
    demo.main(out=tmp_path / "world", knobs=TINY)
    assert (tmp_path / "world/truth.parquet").is_file()
    assert (tmp_path / "world/crawl.paths").read_text().count("\n") == 3


def test_help_names_the_knobs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.py", "--help"])
    with pytest.raises(SystemExit) as ending:
        cli.run(demo.main)
    assert ending.value.code == 0
    assert "--pool-images" in capsys.readouterr().out


def test_a_strange_folder_is_the_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    monkeypatch.setattr(sys, "argv", ["demo.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ending:
        cli.run(demo.main)
    assert ending.value.code == 2
    assert "photo.jpg" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
