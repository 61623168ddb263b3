"""src/evaluate.py: a tiny backbone, a random one and the floors; its command line."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from sauropod import cli, io, schema
from sauropod.config import Evaluate
from sauropod.models.vit import build_vit
from sauropod.models.weights import save_backbone
from sauropod.train.config import Backbone

KNOBS = Evaluate(
    resize=32, crop=32, neighbours=(3, 10), learning_rates=(0.1, 1.0), num_blocks=(1, 2), steps=20
)
ARCH = Backbone(
    arch="vit_tiny", patch_size=8, image_size=32, ffn="mlp", embed_dim=16, depth=2, num_heads=2
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three classes told apart by colour, 4 training and 3 validation images each."""
    random = np.random.Generator(np.random.Philox(key=1))
    for split, count in (("train", 4), ("val", 3)):
        for name, colour in (("a", (200, 40, 40)), ("b", (40, 200, 40)), ("c", (40, 40, 200))):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(random.normal(colour, 20, (40, 36, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "backbone.safetensors"
    made_by = io.stamp("pretrain", knobs={}, inputs=[])
    save_backbone(path, build_vit(ARCH, seed=3), knobs=ARCH, stamp=made_by)
    return path


def test_floors(tmp_path: Path, dataset: Path) -> None:
    out = tmp_path / "metrics.parquet"
    evaluate.main(model="colour", benchmark="toy", dataset=dataset, out=out, knobs=KNOBS)
    rows = schema.read(out, schema.METRICS)
    values = dict(zip(zip(rows["model"], rows["metric"], strict=True), rows["value"], strict=True))
    assert values["colour", "knn3_top1"] == 1.0
    assert values["chance", "knn10_top1"] == pytest.approx(1 / 3)
    assert set(rows["benchmark"]) == {"toy"}


def test_backbone_and_random_like(tmp_path: Path, dataset: Path, weights: Path) -> None:
    values = {}
    for name, flags in (
        ("trained", {"backbone": weights}),
        ("again", {"backbone": weights}),
        ("random", {"random_like": weights}),
    ):
        out = tmp_path / f"{name}.parquet"
        evaluate.main(model=name, benchmark="toy", dataset=dataset, out=out, knobs=KNOBS, **flags)
        rows = schema.read(out, schema.METRICS)
        assert set(rows["model"]) == {name}
        values[name] = rows["value"].to_list()
    assert values["trained"] == values["again"]
    assert len(values["random"]) == len(values["trained"])


def _run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.run(evaluate.main)
    return int(stopped.value.code or 0)


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert "--random-like" in text
    assert "--neighbours" in text


def test_missing_class_is_one_sentence_and_leaves_nothing(
    tmp_path: Path,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in (dataset / "val" / "b").iterdir():
        path.unlink()
    (dataset / "val" / "b").rmdir()
    out = tmp_path / "out" / "metrics.parquet"
    flags = ["--model", "colour", "--benchmark", "toy", "--dataset", dataset, "--out", out]
    assert _run(monkeypatch, *flags) == 2
    assert "no folder b" in capsys.readouterr().err.splitlines()[-1]
    assert not out.parent.exists()
