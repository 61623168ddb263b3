"""YAML becomes knobs strictly; knobs become flags canonically; every shipped YAML loads."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sauropod.config import Embed
from sauropod.errors import InputError
from sauropod.load_config import STAGES, build, load, merged, words
from sauropod.train.config import Pretrain

CONFIG = Path(__file__).parents[2] / "config"
POOL = [{"name": "crawl", "path": "x"}]


def shipped(name: str) -> dict[str, Any]:
    """Read a shipped configuration as Snakemake does: over the paper's."""
    paper = yaml.safe_load((CONFIG / "lvd142m.yaml").read_text())
    return merged(paper, yaml.safe_load((CONFIG / name).read_text()) or {})


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
