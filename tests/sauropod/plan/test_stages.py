"""plan.stages: hand-computed costs, and laws that any plan keeps."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sauropod.errors import InputError
from sauropod.models.flops import image_flops, step_flops
from sauropod.plan import costs, plan
from sauropod.plan.costs import Fleet
from sauropod.plan.stages import Stage

PAPER = Path(__file__).parents[3] / "config" / "lvd142m.yaml"
V100S = Fleet(gpus=160, cores=800, gpu="V100")


def stages(made: plan.Plan) -> dict[str, Stage]:
    return {stage.name: stage for stage in made.stages}


@pytest.fixture(scope="module")
def made() -> plan.Plan:
    return plan.make([PAPER], fleet=V100S)


def test_embedding_by_hand(made: plan.Plan) -> None:
    embed, knobs = stages(made)["embed"], made.planner.config.knobs
    images = 744_000_000 + made.funnel.curated
    assert embed.images_in == images
    assert embed.write_bytes == images * 1280 * 2
    flops = images * sum(image_flops(knobs["embedder"].backbone, size=224))
    assert embed.gpu_hours == pytest.approx(flops / (125e12 * 0.48) / 3600)
    assert embed.core_hours == pytest.approx(images / 212 / 3600)
    assert embed.days == pytest.approx(max(embed.gpu_hours / 160, embed.core_hours / 800) / 24)


def test_clustering_by_hand(made: plan.Plan) -> None:
    per_image = 2 * 100_000 * 1280 / (125e12 * 0.48) / 3600
    found = stages(made)
    assert found["cluster"].gpu_hours == pytest.approx(25_600_000 * 20 * per_image)
    assert found["assign"].gpu_hours == pytest.approx(744_000_000 * per_image)
    assert found["cluster_sample"].write_bytes == 2 * 25_600_000 * 1280 * 2


def test_searching_by_hand(made: plan.Plan) -> None:
    queries = 14_197_086 + 1_281_167 + 1_580_470
    scan = queries * 64 / 16_384 * 744_000_000 / 188_000_000
    coarse = queries * 64 * 16_384 * 256 / 26.5e9
    exact = queries * 64 * (16 * 4) * (1 / 9_890_000 + 1280 / 572e6)
    numbers = (64 * queries + 24 * 744_000_000) * 1280
    retrieve = stages(made)["retrieve"]
    assert retrieve.core_hours == pytest.approx((scan + coarse + exact + numbers / 33.9e6) / 3600)
    block = 744_000_000 / 64
    assert retrieve.memory_bytes == pytest.approx(1e9 + block * (1280 * 2 + 32 + 16))
    assert retrieve.read_bytes == pytest.approx(numbers * 2)


def test_filling_by_hand(made: plan.Plan) -> None:
    filled, images = stages(made)["link_index"], 1_300_000_000
    read = images * 512 / 33.9e6
    hours = (read + images / 77_900 + images * 16_384 * 256 / 26.5e9) / 3600
    assert filled.core_hours == pytest.approx(hours)
    assert filled.write_bytes == images * (32 + 8)
    assert filled.memory_bytes == pytest.approx(1e9 + filled.write_bytes / 52)


def test_the_papers_pretraining_is_what_the_mfu_came_from() -> None:
    knobs = plan.read([PAPER]).knobs["pretrain"]
    flops = step_flops([knobs.backbone], knobs.heads, knobs.crops, objective=knobs.objective)
    utilised = flops * 3072 * 625_000 / 312e12 / 3600 / costs.paper().pretrain_gpu_hours
    assert costs.units()["train_mfu"] == pytest.approx(utilised, rel=0.01)
    a100 = plan.make([PAPER], fleet=replace(V100S, gpu="A100"))
    assert stages(a100)["pretrain main"].gpu_hours == pytest.approx(22_016, rel=0.01)


def test_jobs_are_those_of_the_workflow(made: plan.Plan) -> None:
    found = {name: stage.jobs for name, stage in stages(made).items()}
    assert found["links"] == 2000
    assert found["screen"] == 1024
    assert found["ingest"] == found["describe"] > 1024
    assert found["index"] == found["assign"] == 64
    assert found["link_index"] == found["hash"] == 52
    assert found["link"] == 52 * found["link_merge"] == 52 * (52 + 6)
    assert found["link_train"] == found["dedup"] == found["cluster"] == found["pretrain main"] == 1
    assert found["retrieve"] == 24


def test_images_flow_from_stage_to_stage(made: plan.Plan) -> None:
    by_name = stages(made)
    assert by_name["screen"].images_out == by_name["hash"].images_in == 1_300_000_000
    assert by_name["dedup"].images_out == by_name["index"].images_in == 744_000_000
    assert by_name["manifest"].images_out == 142_109_386


def test_twice_the_pool_is_at_most_twice_the_work(made: plan.Plan) -> None:
    twice = stages(plan.make([PAPER], fleet=V100S, pool=2_600_000_000))
    for name in ("links", "screen", "hash", "assign"):
        before = stages(made)[name]
        grown = twice[name].gpu_hours + twice[name].core_hours
        assert grown <= 2.0001 * (before.gpu_hours + before.core_hours)
        assert grown > 1.3 * (before.gpu_hours + before.core_hours)
    assert twice["cluster"] == stages(made)["cluster"]  # its sample does not grow
    assert twice["pretrain main"] == stages(made)["pretrain main"]


def test_more_machines_never_cost_more_days(made: plan.Plan) -> None:
    more = stages(plan.make([PAPER], fleet=replace(V100S, gpus=320, cores=1600)))
    for name, stage in stages(made).items():
        assert more[name].days <= stage.days
        assert more[name].gpu_hours == stage.gpu_hours


def test_weights_given_are_not_trained(tmp_path: Path) -> None:
    given = tmp_path / "given.yaml"
    given.write_text("describe: {weights: a.pt}\nembed: {weights: b.pt}\n")
    found = stages(plan.make([PAPER, given], fleet=V100S))
    assert {"train_sscd", "pretrain embedder"}.isdisjoint(found)


def test_exact_search_is_on_gpus(tmp_path: Path) -> None:
    exact = tmp_path / "exact.yaml"
    exact.write_text("link: {factory: Flat}\n")
    link = stages(plan.make([PAPER, exact], fleet=V100S))["link"]
    flops = 2.0 * link.images_in * 1_300_000_000 * 512
    assert link.gpu_hours == pytest.approx(flops / (125e12 * 0.48) / 3600)
    assert link.core_hours == pytest.approx(link.read_bytes / 2 / 33.9e6 / 3600)


def test_codes_of_centroids_are_not_those_of_vectors(made: plan.Plan, tmp_path: Path) -> None:
    coarse = tmp_path / "coarse.yaml"
    coarse.write_text('link: {factory: "OPQ64_256,IVF16384(PQ32x4fs,RFlat),PQ64x4fs"}\n')
    found = stages(plan.make([PAPER, coarse], fleet=V100S))["link_index"]
    assert found.write_bytes == stages(made)["link_index"].write_bytes


def test_deduplication_and_retrieval_fit_into_the_papers_days(made: plan.Plan) -> None:
    assert made.dedup_days < costs.paper().curation["days"]


def test_every_unit_cost_says_where_it_comes_from() -> None:
    told = yaml.safe_load((costs.HERE / "unit_costs.yaml").read_text())
    for name, cost in told.items():
        assert cost["from"].split(":")[0] in ("measured", "derived", "assumed"), name
        assert float(cost["value"]) > 0


def test_an_unknown_gpu_is_one_sentence() -> None:
    with pytest.raises(InputError, match="--gpu: expected a known GPU, found 'Z9'"):
        plan.make([PAPER], fleet=replace(V100S, gpu="Z9"))
