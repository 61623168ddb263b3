"""Which script measures which model on which benchmark, and what it is told."""

from pathlib import Path
from typing import Any

import pytest

from sauropod.dag import Dag
from sauropod.errors import InputError
from sauropod.evaluate.config import LAYOUTS, STAGE_OF
from sauropod.evaluate.plan import Evaluation
from sauropod.load_config import STAGES, load

SETS = [
    {"name": "in1k", "path": "in", "layout": "imagenet"},
    {"name": "mine", "path": "m", "crop": 96, "protocols": ["logreg"]},
    {"name": "in_v2", "path": "v2", "kind": "robustness", "layout": "class_folders"},
    {"name": "ade", "path": "ade", "kind": "segmentation", "layout": "ade20k"},
    {"name": "oxford", "path": "ox", "kind": "instance", "layout": "revisited"},
]
SETS[2]["classes_of"] = "in1k"


def plan(sets: list[dict[str, Any]] = SETS, **blocks: Any) -> Evaluation:  # noqa: ANN401
    pool = [{"name": "crawl", "path": "p"}]
    return Dag(load({"pool": pool, "benchmarks": sets, **blocks}, "x.yaml")).evaluation


def test_every_kind_has_a_stage_and_layouts() -> None:
    assert STAGE_OF.keys() == LAYOUTS.keys()
    assert set(STAGE_OF.values()) <= STAGES.keys()


def test_floors_are_measured_on_every_kind() -> None:
    found = plan()
    for floor in ("colour", "random"):
        for benchmark in ("in1k", "oxford", "ade"):
            assert f"results/evaluate/{floor}.{benchmark}.parquet" in found.metrics
    assert found.flags("colour", "ade").endswith("--chance-too True")
    assert "--chance-too" not in found.flags("colour", "oxford")


def test_depth_heads_may_be_measured_on_another_set() -> None:
    nyu = {"name": "nyu", "path": "n", "kind": "depth", "layout": "nyu", "transfer": "s"}
    assert "--layout nyu --transfer s" in plan([nyu]).flags("pretrained", "nyu")


def test_named_models_are_measured_beside_ours() -> None:
    found = plan(models={"meta_s": "weights/dinov2_vits14_pretrain.pth"})
    assert found.models[-1] == "meta_s"
    assert found.backbone_of("meta_s") == ["weights/dinov2_vits14_pretrain.pth"]
    assert "results/evaluate/meta_s.in1k.parquet" in found.metrics


def test_scripts_and_their_flags() -> None:
    found = plan()
    assert [found.script_of(name) for name in found.benchmarks][2:] == [
        "evaluate_robustness",
        "evaluate_segmentation",
        "evaluate_instance",
    ]
    assert found.flags("colour", "in1k").endswith(
        "--chance-too True --head results/evaluate/colour.in1k.head.safetensors"
    )
    assert "--backbone" not in found.flags("pretrained", "in1k")
    assert "--random-like" in found.flags("random", "ade")
    assert found.head_of("adapted", "in_v2") == "results/evaluate/adapted.in1k.head.safetensors"


def test_a_benchmark_says_its_resolution_and_protocols() -> None:
    found = plan()
    assert "--crop 96" in found.extract_knobs("mine")
    assert "--crop 224" in found.extract_knobs("in1k")
    assert "--protocols logreg --" in found.knobs("mine")
    assert "--protocols knn linear --" in found.knobs("in1k")


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"layout": "imagnet"}, r"benchmarks\[0\].layout: .*found 'imagnet'; write 'imagenet'"),
        ({"kind": "depth", "layout": "ade20k"}, "use one of nyu"),
        ({"kind": "depht"}, "write 'depth'"),
        (
            {"kind": "robustness", "layout": "class_folders"},
            "classes_of: expected a known knob, found ''",
        ),
    ],
)
def test_mistakes_are_found_when_the_snakefile_is_read(
    block: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        plan([{"name": "a", "path": "b", **block}])


@pytest.mark.parametrize(
    ("models", "sentence"),
    [(["x"], "names and files"), ({"a b": "c"}, "letters"), ({"a": 3}, "expected str")],
)
def test_a_model_is_a_name_and_a_file(models: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        plan(models=models)


def test_plates_are_of_the_main_run_and_of_named_models() -> None:
    assert plan().plates == []
    runs = {"uncurated": {"data": "uncurated"}}
    found = plan(visualise={"images": ["cats"]}, runs=runs, models={"meta_s": "s.pth"}).plates
    assert found[:3] == [
        "results/visualise/pretrained.pca.png",
        "results/visualise/pretrained.matches.png",
        "results/visualise/pretrained.attention.png",
    ]
    assert "results/visualise/meta_s.pca.png" in found
    assert not any("uncurated" in path for path in found)
    assert "results/visualise/pretrained.overlays.png" in found  # there is a dense benchmark
    assert plan().segmentation_heads("m") == ["results/evaluate/m.ade.head.safetensors"]
    assert plan().depth_heads("m") == []


def test_studies_ask_for_the_tables_of_their_models_and_of_colours() -> None:
    found = plan(runs={"off": {}}, ablations={"koleo": ["off", "pretrained"]})
    assert found.studies == "koleo:off,pretrained"
    assert found.figures == ["results/ablations/koleo.png"]
    colour = [path for path in found.metrics if Path(path).name.startswith("colour.")]
    assert len(found.compared) == 2 * len(SETS) + len(colour)
    assert set(colour) < set(found.compared)
    assert plan().compared == []


@pytest.mark.parametrize(
    ("models", "sentence"),
    [(["pretrained"], "two models or more"), (["pretrained", "adaptd"], "write 'adapted'")],
)
def test_a_study_names_models_of_the_run(models: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        plan(ablations={"x": models})
