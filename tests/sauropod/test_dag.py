"""Paths and flags of the workflow follow from the configuration."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sauropod.dag import Dag, by, same
from sauropod.errors import InputError
from sauropod.load_config import load

RAW: dict[str, Any] = {
    "pool": [
        {"name": "crawl", "kind": "warc", "path": "w.paths", "shards": 2, "link_parts": 3},
        {"name": "mine", "path": "photos"},
    ],
    "curated": [{"name": "good", "path": "g", "shards": 2}, {"name": "fine", "path": "f"}],
    "benchmarks": [{"name": "bench", "path": "b", "crop": 96}],
    "manifest": {"recipe": ["good:as_is", "good:sample:4", "fine:cluster"]},
    "runs": {"uncurated": {"data": "uncurated", "seed": 5}},
}


def dag(**blocks: Any) -> Dag:  # noqa: ANN401
    """Make a small DAG."""
    return Dag(load({**RAW, **blocks}, "x"))


def test_pool_shards_of_a_crawl_read_every_link_table() -> None:
    tables = "--links 'results/links/crawl-{00000..00002}.parquet'"
    assert dag().ingest_flags("crawl-00001").startswith(tables)
    assert dag().links_of("crawl-00001") == ["results/links/crawl.summary.parquet"]
    assert len(dag().link_summaries("crawl")) == len(dag().links) == 3
    assert dag().links_of("mine-00000") == []
    assert "--part 2 --num-parts 3" in dag().link_flags("crawl-00002")


def test_pool_images_are_the_screened_ones() -> None:
    assert dag().images_of("crawl-00000") == "results/screen/crawl-00000.parquet"
    assert dag().images_of("good-00001") == "results/ingest/good-00001.parquet"
    assert dag().copies_of("crawl-00000") == ["results/dedup/copies.parquet"]
    assert dag().copies_of("good-00000") == []


def test_pool_embeddings_follow_the_knobs_that_decide_what_is_kept() -> None:
    changed = dag(link={"neighbours": 5})
    assert changed.followed("embed") != dag().followed("embed")
    assert changed.followed("index") == dag().followed("index")


def test_recipe_decides_who_retrieves() -> None:
    assert dag().retrieved == ["good", "fine"]
    assert dag().retrieve_flags("good") == (
        "--dataset good --rows good:sample:4 --index results/index/crawl-block-00000.faiss"
        " results/index/mine-block-00000.faiss --index-shards 2 1"
        " --embeddings 'results/embed/crawl-{00000..00001}.parquet'"
        " results/embed/mine-00000.parquet"
    )
    assert dag().searched_of("fine") == ["results/cluster/centroids.safetensors"]
    assert len(dag().pool_of("fine")) == len(dag().index_blocks) == 2
    assert " --clusters results/cluster/crawl-block-00000" in dag().retrieve_flags("fine")
    shards = ["results/embed/good-00000.parquet", "results/embed/good-00001.parquet"]
    assert dag().queries_of("good") == shards


def test_blocks_are_searched_in_blocks() -> None:
    plan = dag(link={"shards_per_block": 1})
    assert list(plan.link_blocks) == ["crawl-block-00000", "crawl-block-00001", "mine-block-00000"]
    assert len(plan.reference_blocks) == len(plan.curated) + len(plan.references)
    assert plan.search_flags("crawl-block-00001", "mine-block-00000") == (
        "--queries results/describe/crawl-00001.parquet --pool results/describe/mine-00000.parquet "
        "--reference False"
    )
    assert plan.reference_flag("all-references-00000") == "--reference True"
    assert plan.known_by("crawl-block-00001") == ["results/link/index/crawl-block-00001.faiss"]
    assert plan.known_by("all-references-00000") == ["results/describe/good-00000.parquet"]
    parts = [f"results/link/parts/mine-block-00000/{block}.parquet" for block in plan.link_blocks]
    assert plan.link_parts("mine-block-00000") == parts


def test_everything_is_fitted_on_the_first_source() -> None:
    assert dag().first_source == ["crawl-00000", "crawl-00001"]


def test_runs_and_their_manifests() -> None:
    assert dag().runs == ["main", "embedder", "uncurated"]
    assert dag().manifest_of("main") == "results/manifest/lvd.parquet"
    assert dag().manifest_of("embedder") == "results/manifest/curated.parquet"
    assert dag().manifest_of("uncurated") == "results/manifest/uncurated.parquet"
    assert dag().manifest == "results/manifest/lvd.parquet"


def test_balanced_data_need_no_recipe() -> None:
    alone = dag(data="balanced", manifest={}, runs={})
    assert alone.manifest == alone.manifest_of("main") == "results/manifest/balanced.parquet"
    assert alone.retrieved == []
    assert "results/manifest/balanced.summary.parquet" in alone.summaries
    assert "results/manifest/summary.parquet" not in alone.summaries
    assert "--seed 5" in dag().run_knobs("uncurated")


def test_given_weights_replace_the_bootstrap_runs() -> None:
    given = dag(embed={"weights": "e.pth"}, describe={"weights": "s.pt"})
    assert "embedder" not in given.runs
    assert (given.embedder, given.sscd) == ("e.pth", "s.pt")


def test_models_and_their_weights() -> None:
    assert dag().evaluation.backbone_of("adapted") == ["results/adapt/main/backbone.safetensors"]
    assert dag().evaluation.backbone_of("uncurated") == [
        "results/pretrain/uncurated/backbone.safetensors"
    ]
    assert dag().evaluation.backbone_of("colour") == []
    main = "results/pretrain/main/backbone.safetensors"
    found = dag(embedder={"backbone": {"arch": "vit_huge"}}).evaluation
    assert found.extract_flags("random", "bench").endswith(f"--random-like {main}")
    assert dag().evaluation.extract_flags("pretrained", "bench").endswith(f"--backbone {main}")


def test_the_untrained_floor_need_not_wait_for_the_main_run() -> None:
    alike = {"backbone": {"arch": "vit_small"}}
    embedder = ["results/pretrain/embedder/backbone.safetensors"]
    assert dag(embedder=alike, pretrain=alike).evaluation.backbone_of("random") == embedder
    given = dag(embedder=alike, pretrain=alike, embed={"weights": "e.pth"})
    assert given.evaluation.backbone_of("random") == given.evaluation.backbone_of("pretrained")


def test_one_student_lies_in_the_main_folder() -> None:
    assert dag().students == ["main"]
    assert dag().distilled == {"distilled": "results/distill/main/backbone.safetensors"}
    assert dag().evaluation.models[-1] == "distilled"
    assert dag().evaluation.backbone_of("distilled") == [dag().weights[-1]]


def test_several_students_are_one_job_and_as_many_models() -> None:
    plan = dag(distill={"students": ["vit_small", "vit_base"]})
    assert plan.students == ["vit_small", "vit_base"]
    small = "results/distill/vit_small/backbone.safetensors"
    assert plan.evaluation.models[-2:] == ["distilled_vit_small", "distilled_vit_base"]
    assert plan.evaluation.backbone_of("distilled_vit_small") == [small]
    assert small in plan.weights
    assert plan.training_logs[-1] == "results/distill/main/log.parquet"
    assert plan.training_logs == dag().training_logs
    assert plan.timings == dag().timings
    assert "benchmarks/distill/main.tsv" in plan.timings
    assert "--students vit_small vit_base" in plan.knobs["distill"]


def test_logs_and_timings_of_trainings() -> None:
    logs = ["train_sscd", "pretrain/main", "pretrain/embedder", "pretrain/uncurated"]
    logs += ["adapt/main", "distill/main"]
    assert dag().training_logs == [f"results/{log}/log.parquet" for log in logs]
    first = ["benchmarks/train_sscd/train_sscd.tsv", "benchmarks/pretrain/main.tsv"]
    assert dag().timings[:2] == first
    given = dag(describe={"weights": "s.pt"})
    assert given.training_logs[0] == "results/pretrain/main/log.parquet"


def test_a_benchmark_may_name_its_resolution() -> None:
    assert "--crop 96" in dag().evaluation.extract_knobs("bench")
    assert "--resize 256" in dag().evaluation.extract_knobs("bench")


def test_pattern_matches_exactly_the_names() -> None:
    assert re.fullmatch(Dag.pattern(["a.b", "c"]), "a.b")
    assert not re.fullmatch(Dag.pattern(["a.b", "c"]), "axb")
    assert not re.fullmatch(Dag.pattern([]), "")


def test_missing_datasets_are_named_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match=r"nothing at w\.paths, g, f, b/val, weights/nsfw"):
        dag().check_sources()


def test_speed_flags_are_spelt() -> None:
    assert dag(speed={"embed": {"num_workers": 8}}).speed == {"embed": "--num-workers=8"}


def test_a_stage_that_probes_is_told_the_labelled_folders() -> None:
    labelled = {"name": "more", "path": "m", "train": "train", "test": "test"}
    config = {
        "benchmarks": [*RAW["benchmarks"], labelled],
        "speed": {"pretrain": {"probe_every": 9}, "adapt": {"probe_every": 0}},
    }
    assert dag(**config).speed == {
        "pretrain": "--probe-every=9 --probe b",
        "adapt": "--probe-every=0",
    }


def test_params_functions() -> None:
    wildcards = SimpleNamespace(shard="crawl-00001", run="main")
    assert by(dag().images_of, "shard")(wildcards) == "results/screen/crawl-00001.parquet"
    assert dag().series("r/{}.tar", ["a-00000", "a-00001"])(wildcards) == "'r/a-{00000..00001}.tar'"
    assert same("{x}")(wildcards) == "{x}"
