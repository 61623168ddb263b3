"""YAML becomes knobs strictly; knobs become flags canonically; every shipped YAML loads."""

from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml
from snakemake.utils import update_config

from sauropod.cli import STYLE
from sauropod.config import Embed
from sauropod.errors import InputError
from sauropod.load_config import STAGES, build, load, read, stage_knobs, words
from sauropod.train.config import Distill, Pretrain

CONFIG = Path(__file__).parents[2] / "config"
POOL = [{"name": "crawl", "path": "x"}]


def shipped(name: str) -> dict[str, Any]:
    """Read a shipped configuration as Snakemake does: over the paper's."""
    raw = dict(read(CONFIG / "lvd142m.yaml"))
    update_config(raw, read(CONFIG / name))
    return raw


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIG.glob("*.yaml")))
def test_every_shipped_configuration_loads(name: str) -> None:
    raw = shipped(name)
    assert load(raw, name).pool[0].name == raw["pool"][0]["name"]


def test_misspelt_knob_names_the_right_one() -> None:
    raw = {"pool": POOL, "pretrain": {"optim": {"warmup_step": 3}}}
    with pytest.raises(InputError) as error:
        load(raw, "my.yaml")
    assert str(error.value) == (
        "my.yaml: pretrain.optim: expected a known knob, found 'warmup_step'; write 'warmup_steps'"
    )


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"pool": POOL, "pretran": {}}, "write 'pretrain'"),
        ({"pool": POOL, "embed": {"crop": "big"}}, "embed.crop: expected int, found 'big'"),
        ({"pool": POOL, "embed": {"crop": True}}, "embed.crop: expected int"),
        ({"pool": POOL, "hash": {"features": "pixel"}}, "write 'pixels'"),
        ({"pool": POOL, "embed": 3}, "expected a block of knobs, found 3"),
        ({"pool": []}, "expected a pool"),
        ({"pool": [{"name": "a"}]}, "expected the knob 'path'"),
        ({"pool": POOL, "curated": [{"name": "crawl", "path": "y"}]}, "used once"),
        ({"pool": [{"name": "a-b", "path": "y"}]}, "letters, digits and underscores"),
        ({"pool": POOL, "runs": {"small": {"backbone": {"dept": 3}}}}, "write 'depth'"),
        ({"pool": POOL, "distill": {"students": ["a", "a"]}}, "students: expected architectures"),
        ({"pool": POOL, "distill": {"students": ["a/b"]}}, "each once, found 'a/b'"),
        ({"pool": POOL, "speed": {"adapt": {"cach": True}}}, "my.yaml: speed.adapt: expected a k"),
        ({"pool": POOL, "speed": {"adopt": {}}}, "write 'adapt'"),
    ],
)
def test_mistakes_are_one_sentence(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        load(raw, "my.yaml")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_scientific_notation_and_integers_become_floats() -> None:
    knobs = build(Pretrain, yaml.safe_load("optim: {lr: 1e-3, clip_grad: 3}"), "x")
    assert knobs.optim.lr == 0.001
    assert isinstance(knobs.optim.clip_grad, float)


def test_values_may_come_as_text_from_the_command_line() -> None:
    raw = {"optim": {"steps": "7", "lr": "2"}, "heads": {"separate_ibot": "false"}}
    knobs = build(Pretrain, raw, "x")
    assert (knobs.optim.steps, knobs.optim.lr, knobs.heads.separate_ibot) == (7, 2.0, False)


def test_words_do_not_depend_on_the_order_of_yaml() -> None:
    first = words(build(Embed, {"crop": 64, "resize": 70}, "x"))
    second = words(build(Embed, {"resize": 70, "crop": 64}, "x"))
    assert first == second
    assert first[first.index("--crop") + 1] == "64"


@pytest.mark.parametrize("stage", STAGES)
def test_words_name_every_knob(stage: str) -> None:
    knobs = build(STAGES[stage], {}, stage)
    assert "--version" in words(knobs) or stage == "demo"


@pytest.mark.parametrize("stage", STAGES)
def test_words_are_read_back_by_the_scripts_parser(stage: str) -> None:
    knobs = load(shipped("lvd142m.yaml"), "x").knobs[stage]
    assert tyro.cli(STAGES[stage], args=words(knobs), config=STYLE) == knobs


def test_runs_differ_from_pretrain_only_where_they_say() -> None:
    raw = {
        "pool": POOL,
        "pretrain": {"optim": {"steps": 7}},
        "runs": {"small": {"data": "uncurated", "backbone": {"depth": 2}}},
    }
    config = load(raw, "x")
    assert config.runs["small"].optim.steps == 7
    assert config.runs["small"].backbone.depth == 2
    assert config.data_of_run == {"small": "uncurated"}


def test_what_is_trained_on_is_a_manifest() -> None:
    assert load({"pool": POOL}, "x").data == "lvd"
    assert load({"pool": POOL, "data": "balanced"}, "x").data == "balanced"
    with pytest.raises(InputError, match="'balanced'"):
        load({"pool": POOL, "data": "balance"}, "x")
    with pytest.raises(InputError, match=r"runs\.small\.data"):
        load({"pool": POOL, "runs": {"small": {"data": "lvd142m"}}}, "x")


def test_a_block_changes_its_stage_s_defaults_and_nothing_else() -> None:
    knobs = build(Distill, {"objective": {"koleo_weight": 0.0}, "optim": {"steps": 5}}, "x")
    assert knobs.objective.koleo_weight == 0.0
    assert knobs.objective.mask_probability == Distill().objective.mask_probability == 0.0
    assert (knobs.optim.steps, knobs.optim.batch_size) == (5, 2048)


def test_files_of_a_stage_the_later_on_top(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("pretrain: {optim: {steps: 5, lr: 1e-2}}\nspeed: {pretrain: {cache: true}}")
    two.write_text("pretrain: {optim: {steps: 6}}\nadapt: {seed: 3}")
    knobs, speed = stage_knobs("pretrain", [one, two])
    assert (knobs.optim.steps, knobs.optim.lr, knobs.seed) == (6, 0.01, 0)
    assert speed.cache
    assert stage_knobs("adapt", [two])[0].seed == 3
    assert stage_knobs("adapt", []) == (STAGES["adapt"](), type(speed)())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("pretrain: {optim: {lrr: 1}}", "x.yaml: pretrain.optim: expected a known knob, found 'l"),
        ("pretran: {}", "x.yaml: expected a known knob, found 'pretran'; write 'pretrain'"),
        ("speed: {pretrain: {cach: 1}}\npretrain:", "speed.pretrain: expected a known knob"),
        ("adapt: {seed: 1}", "expected a block 'pretrain', found only adapt; name a file that has"),
        ("pretrain: {seed: [}", "expected a YAML file, found while parsing"),
        ("", "expected blocks of knobs, found None"),
    ],
)
def test_mistakes_in_the_files_of_a_stage(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        stage_knobs("pretrain", [path])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.yaml: expected a YAML file, found .*No such file"):
        read(tmp_path / "no.yaml")
