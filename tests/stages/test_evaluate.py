"""src/evaluate.py: from features to METRICS and a head; its command line."""

import sys
from pathlib import Path

import pytest

import evaluate
import extract
from sauropod import cli, schema
from sauropod.evaluate.config import Evaluate, Extract
from sauropod.evaluate.head_file import load_head

EXTRACT = Extract(resize=32, crop=32, blocks=2)
KNOBS = Evaluate(neighbours=(3, 10), learning_rates=(0.1, 1.0), num_blocks=(1, 2), steps=20)


def _evaluate(folder: Path, dataset: Path, model: str, **subject: Path) -> dict[tuple, float]:
    features, out = folder / f"{model}.safetensors", folder / f"{model}.parquet"
    extract.main(dataset=dataset, out=features, knobs=EXTRACT, **subject)
    evaluate.main(
        model=model,
        benchmark="toy",
        dataset=dataset,
        features=features,
        head=folder / f"{model}.head.safetensors",
        out=out,
        knobs=KNOBS,
        chance_too=not subject,
    )
    rows = schema.read(out, schema.METRICS)
    assert set(rows["benchmark"]) == {"toy"}
    return dict(zip(rows.select("model", "metric").rows(), rows["value"], strict=True))


def test_floors(tmp_path: Path, labelled: Path) -> None:
    values = _evaluate(tmp_path, labelled, "colour")
    assert values["colour", "knn3_top1"] == 1.0
    assert values["chance", "knn10_top1"] == pytest.approx(1 / 3)


def test_a_backbone_repeats_exactly_and_leaves_its_head(
    tmp_path: Path, labelled: Path, tiny_backbone: Path
) -> None:
    first = _evaluate(tmp_path, labelled, "a", backbone=tiny_backbone)
    again = _evaluate(tmp_path, labelled, "b", backbone=tiny_backbone)
    assert list(first.values()) == list(again.values())
    head, classes = load_head(tmp_path / "a.head.safetensors")
    assert classes == ("a", "b", "c")
    assert head.learning_rate == pytest.approx(first["a", "linear_best_learning_rate"])


def _run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.run(evaluate.main)
    return int(stopped.value.code or 0)


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert "--features" in text
    assert "--neighbours" in text


def test_a_head_wants_a_linear_probe(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", "m", "--benchmark", "b", "--dataset", labelled, "--features", "f"]
    assert _run(monkeypatch, *flags, "--out", "o", "--head", "h", "--protocols", "knn") == 2
    assert "add linear" in capsys.readouterr().err.splitlines()[-1]


def test_missing_class_is_one_sentence_and_leaves_nothing(
    tmp_path: Path,
    labelled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in (labelled / "val" / "b").iterdir():
        path.unlink()
    (labelled / "val" / "b").rmdir()
    out = tmp_path / "out"
    flags = ["--model", "colour", "--benchmark", "toy", "--dataset", labelled]
    flags += ["--features", tmp_path / "f", "--out", out / "metrics.parquet"]
    assert _run(monkeypatch, *flags) == 2
    assert "no folder b" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()
