"""src/evaluate_robustness.py: a head trained on one set, measured on another."""

from pathlib import Path

import evaluate
import evaluate_robustness
import extract
from sauropod import schema
from sauropod.evaluate.config import Evaluate, Extract, Robustness


def test_a_head_is_measured_on_a_set_of_its_classes(tmp_path: Path, labelled: Path) -> None:
    knobs = Evaluate(protocols=("linear",), learning_rates=(1.0,), num_blocks=(1,), steps=20)
    paths = {name: tmp_path / name for name in ("train.st", "head.st", "test.st", "out.parquet")}
    sizes = Extract(resize=32, crop=32)
    extract.main(dataset=labelled, out=paths["train.st"], knobs=sizes)
    evaluate.main(
        model="colour",
        benchmark="toy",
        dataset=labelled,
        features=paths["train.st"],
        head=paths["head.st"],
        out=paths["out.parquet"],
        knobs=knobs,
    )
    shifted = labelled / "val"
    extract.main(dataset=shifted, out=paths["test.st"], knobs=sizes, layout="class_folders")
    evaluate_robustness.main(
        model="colour",
        benchmark="shifted",
        dataset=shifted,
        features=paths["test.st"],
        head=paths["head.st"],
        out=tmp_path / "shifted.parquet",
        knobs=Robustness(),
    )
    one, other = (
        schema.read(path, schema.METRICS)
        for path in (paths["out.parquet"], tmp_path / "shifted.parquet")
    )
    values = dict(zip(other["metric"], other["value"], strict=True))
    assert (
        values["linear_top1"] == dict(zip(one["metric"], one["value"], strict=True))["linear_top1"]
    )
    assert values["unreadable_test"] == 0.0
