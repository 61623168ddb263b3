"""src/evaluate_instance.py: groups, landmarks and pairs of small pictures; its command line."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.stages.command import command

import evaluate_instance
from sauropod import schema
from sauropod.evaluate.config import LAYOUTS, Instance

KNOBS = Instance(resize=32, crop=32)


def _paint(path: Path, hue: int, *, seed: int) -> None:
    random = np.random.Generator(np.random.Philox(key=seed))
    colour = [(210, 40, 40), (40, 210, 40), (40, 40, 210), (200, 200, 40)][hue]
    pixels = np.clip(random.normal(colour, 20, (40, 36, 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The same three things in every layout."""
    root, seed = tmp_path / "data", 0
    for thing in range(3):
        names = [
            f"groups/{thing}/a.png",
            f"groups/{thing}/b.png",
            f"revisited/jpg/q{thing}.jpg",
            f"revisited/jpg/g{thing}.jpg",
            f"amstertime/new/{thing}.png",
            f"amstertime/old/{thing}.png",
            f"copydays/original/20{thing:02d}00.jpg",
            f"copydays/strong/20{thing:02d}01.jpg",
            f"disc21/references/R{thing}.jpg",
            f"disc21/queries/Q{thing}.jpg",
            f"met/images/{thing}.jpg",
            f"met/images/v{thing}.jpg",
            f"met/images/t{thing}.jpg",
        ]
        for name in names:
            seed += 1
            _paint(root / name, thing, seed=seed)
    _paint(root / "groups/distractors/x.png", 3, seed=seed + 1)
    gnd = [{"easy": [i], "hard": [], "junk": [], "bbx": [2, 2, 30, 38]} for i in range(3)]
    book = {"imlist": ["g0", "g1", "g2"], "qimlist": ["q0", "q1", "q2"], "gnd": gnd}
    (root / "revisited" / "gnd.json").write_text(json.dumps(book))
    (root / "disc21" / "dev_ground_truth.csv").write_text("Q0,R0\nQ1,R1\nQ2,R2\n")
    (root / "met" / "ground_truth").mkdir()
    for name, letter, key in (
        ("MET_database", "", "id"),
        ("valset", "v", "MET_id"),
        ("testset", "t", "MET_id"),
    ):
        entries = [{"path": f"{letter}{i}.jpg", key: i} for i in range(3)]
        (root / "met" / "ground_truth" / f"{name}.json").write_text(json.dumps(entries))
    return root


MAIN_METRIC = {
    "revisited": "medium_map",
    "met": "acc",
    "amstertime": "map",
    "copydays": "muap",
    "disc21": "muap",
    "groups": "map",
}


def test_every_layout_is_tested() -> None:
    assert MAIN_METRIC.keys() == set(LAYOUTS["instance"])


@pytest.mark.parametrize("layout", MAIN_METRIC)
def test_colours_find_colours(tmp_path: Path, photos: Path, layout: str) -> None:
    out = tmp_path / "metrics.parquet"
    evaluate_instance.main(
        model="colour",
        benchmark="toy",
        dataset=photos / layout,
        layout=layout,
        out=out,
        knobs=KNOBS,
    )
    rows = schema.read(out, schema.METRICS)
    assert set(rows["model"]) == {"colour"}
    values = dict(rows.select("metric", "value").rows())
    assert values[MAIN_METRIC[layout]] == 1.0
    assert all(value == 0 for name, value in values.items() if name.startswith("unreadable"))
    if layout == "revisited":
        assert math.isnan(values["hard_map"])


def test_a_backbone_repeats_exactly(tmp_path: Path, photos: Path, tiny_backbone: Path) -> None:
    found = []
    for name, flags in (
        ("a", {"backbone": tiny_backbone}),
        ("b", {"backbone": tiny_backbone, "inference_batch": 2, "num_threads": 1}),
        ("random", {"random_like": tiny_backbone}),
    ):
        out = tmp_path / f"{name}.parquet"
        evaluate_instance.main(
            model=name,
            benchmark="toy",
            dataset=photos / "groups",
            layout="groups",
            out=out,
            knobs=KNOBS,
            **flags,
        )
        found.append(schema.read(out, schema.METRICS))
    assert found[0].select("metric", "num_samples").equals(found[2].select("metric", "num_samples"))
    assert found[0]["value"].to_list() == found[1]["value"].to_list()


def test_a_broken_photo_is_a_counted_row(tmp_path: Path, photos: Path) -> None:
    (photos / "groups" / "0" / "a.png").write_bytes(b"broken")
    out = tmp_path / "metrics.parquet"
    evaluate_instance.main(
        model="colour",
        benchmark="toy",
        dataset=photos / "groups",
        layout="groups",
        out=out,
        knobs=KNOBS,
    )
    rows = schema.read(out, schema.METRICS)
    values = {name: rest for name, *rest in rows.select("metric", "value", "num_samples").rows()}
    assert values["unreadable_photos"] == [1.0, 7]
    assert values["map"] == [1.0, 4]


def test_command_line(tmp_path: Path, photos: Path) -> None:
    assert "--layout" in command("evaluate_instance", "--help").stdout
    flags = ["--model", "colour", "--benchmark", "toy", "--out", tmp_path / "out" / "m.parquet"]
    for layout, words in (("met", "no such file"), ("image_folder", "a known layout")):
        flags_of = [*flags, "--dataset", photos / "revisited", "--layout", layout]
        ended = command("evaluate_instance", *flags_of)
        assert ended.returncode == 2
        assert words in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
