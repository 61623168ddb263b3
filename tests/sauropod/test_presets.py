"""Every preset says where it comes from, loads strictly, and means what its header says."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from snakemake.utils import update_config

from sauropod.load_config import Config, load, read, stage_knobs
from sauropod.train.config import Pretrain
from sauropod.train.schedule import scaled_lr

CONFIG = Path(__file__).parents[2] / "config"
PRESETS = CONFIG / "presets"
LADDER = sorted((PRESETS / "ladder").glob("*.yaml"))
EVERY = [*sorted(PRESETS.glob("*.yaml")), *LADDER]
OURS = ("small_data", "single_gpu", "tiny_cpu")
TRAINING = {"pretrain", "adapt", "distill"}


def over_the_paper(*files: Path) -> Config:
    """Load files as `snakemake --configfile FILE ...` does."""
    raw: dict[str, Any] = dict(read(CONFIG / "lvd142m.yaml"))
    for path in files:
        update_config(raw, read(path))
    return load(raw, "preset")


def pretrain(path: Path) -> Pretrain:
    """Knobs of a preset given to the script."""
    return stage_knobs("pretrain", [path])[0]


def flat(value: object, prefix: str = "") -> dict[str, object]:
    """Every knob by its dotted name."""
    if not dataclasses.is_dataclass(value):
        return {prefix: value}
    names = [field.name for field in dataclasses.fields(value)]
    parts = [flat(getattr(value, name), f"{prefix}.{name}".lstrip(".")) for name in names]
    return {key: knob for part in parts for key, knob in part.items()}


def changed(before: Pretrain, after: Pretrain) -> dict[str, tuple[object, object]]:
    """Knobs that differ: old and new value."""
    old, new = flat(before), flat(after)
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def name(path: Path) -> str:
    """Name of a preset in the list of tests."""
    return path.stem


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_the_header_says_where_it_comes_from(path: Path) -> None:
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("# Source: ", "# Hardware: ", "# Published: ", "# Learning rate: "):
        assert any(line.startswith(word) for line in header), word
    if path.stem not in OURS:
        word = "# Changed: " if path in LADDER else ("# Differs: ", "# Learning rate: ")
        assert any(line.startswith(word) for line in header)


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_it_is_training_alone_and_means_the_same_by_hand_and_in_the_workflow(path: Path) -> None:
    raw = read(path)
    assert raw.keys() <= TRAINING
    for stage in raw:
        by_hand, _ = stage_knobs(stage, [path])
        assert over_the_paper(path).knobs[stage] == by_hand


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_sizes_fit_each_other(path: Path) -> None:
    for stage in read(path):
        knobs, _ = stage_knobs(stage, [path])
        patch = knobs.backbone.patch_size if stage != "adapt" else 14
        assert knobs.crops.global_size % patch == knobs.crops.local_size % patch == 0
        assert knobs.optim.batch_size % knobs.objective.group_size == 0
        assert knobs.optim.warmup_steps < knobs.optim.steps
        reproduction = path.stem not in OURS
        assert knobs.objective.exact_masks is not reproduction
        assert knobs.optim.precision == "fp16" or not reproduction
        released = reproduction and path.stem not in {"dino", "ibot"}
        assert knobs.crops.blur_mode == ("released" if released else "paper")


# What facebookresearch/dinov2's configuration files say, and the paper's Table 16.
RELEASED: dict[str, dict[str, object]] = {
    "dinov2_short": {
        "backbone.arch": "vit_large",
        "backbone.patch_size": 16,
        "backbone.ffn": "mlp",
        "backbone.drop_path": 0.3,
        "heads.num_prototypes": 65_536,
        "heads.bottleneck_dim": 256,
        "heads.separate_ibot": False,
        "crops.local_size": 96,
        "optim.batch_size": 2048,
        "optim.steps": 125_000,
        "optim.lr": pytest.approx(scaled_lr(4e-3, batch_size=2048)),
        "optim.warmup_steps": 12_500,
        "optim.weight_decay_end": 0.4,
        "optim.layerwise_decay": 0.9,
        "objective.centering": "softmax",
        "objective.group_size": 64,
        "objective.teacher_momentum": 0.992,
    },
    "dinov2_l14": {
        "backbone.arch": "vit_large",
        "optim.lr": pytest.approx(scaled_lr(2e-4, batch_size=3072)),
        "objective.group_size": 32,
    },
    "dinov2_g14": {
        "backbone.arch": "vit_giant",
        "optim.lr": 3.5e-4,
        "objective.group_size": 12,
    },
}
BOTH_LARGE: dict[str, object] = {
    "backbone.patch_size": 14,
    "backbone.ffn": "swiglu",
    "backbone.drop_path": 0.4,
    "heads.num_prototypes": 131_072,
    "heads.bottleneck_dim": 384,
    "heads.separate_ibot": True,
    "heads.ibot_num_prototypes": 131_072,
    "heads.ibot_bottleneck_dim": 256,
    "crops.local_size": 98,
    "optim.batch_size": 3072,
    "optim.steps": 625_000,
    "optim.warmup_steps": 100_000,
    "optim.weight_decay_end": 0.2,
    "optim.layerwise_decay": 1.0,
    "objective.centering": "sinkhorn_knopp",
    "objective.teacher_momentum": 0.994,
}
ALL_THREE: dict[str, object] = {
    "backbone.layerscale": 1e-5,
    "backbone.drop_path_ramp": False,
    "heads.hidden_dim": 2048,
    "heads.num_layers": 3,
    "heads.train_gains": True,
    "crops.global_size": 224,
    "crops.global_scale": (0.32, 1.0),
    "crops.local_scale": (0.05, 0.32),
    "crops.num_local": 8,
    "optim.min_lr": 1e-6,
    "optim.weight_decay": 0.04,
    "optim.clip_grad": 3.0,
    "optim.freeze_last_layer_steps": 1250,
    "optim.patch_embed_lr_mult": 0.2,
    "optim.beta2": 0.999,
    "objective.dino_weight": 1.0,
    "objective.ibot_weight": 1.0,
    "objective.koleo_weight": 0.1,
    "objective.mask_probability": 0.5,
    "objective.mask_ratio": (0.1, 0.5),
    "objective.student_temp": 0.1,
    "objective.teacher_temp_start": 0.04,
    "objective.teacher_temp": 0.07,
    "objective.teacher_temp_warmup_steps": 37_500,
    "objective.teacher_momentum_end": 1.0,
}


@pytest.mark.parametrize("preset", RELEASED)
def test_numbers_of_the_released_configurations(preset: str) -> None:
    large = {} if preset == "dinov2_short" else BOTH_LARGE
    expected = {**ALL_THREE, **large, **RELEASED[preset]}
    found = flat(pretrain(PRESETS / f"{preset}.yaml"))
    assert {key: found[key] for key in expected} == expected


def test_the_paper_s_configuration_is_its_presets() -> None:
    names = ("dinov2_g14", "highres_518", "dinov2_distilled")
    presets = over_the_paper(*(PRESETS / f"{preset}.yaml" for preset in names))
    assert over_the_paper() == presets


# Knob -> value before and after, for every rung of Table 1 behind the first.
STEPS: list[dict[str, tuple[object, object]]] = [
    {
        "backbone.layerscale": (1.0, 1e-5),
        "backbone.drop_path": (0.1, 0.4),
        "backbone.drop_path_ramp": (True, False),
    },
    {"heads.num_prototypes": (8192, 131_072)},
    {"objective.koleo_weight": (0.0, 0.1)},
    {"backbone.ffn": ("mlp", "swiglu")},
    {"backbone.patch_size": (16, 14), "crops.local_size": (96, 98)},
    {"objective.teacher_momentum": (0.996, 0.994)},
    {"optim.warmup_steps": (12_500, 100_000)},
    {"optim.batch_size": (2048, 3072), "optim.lr": (2.828427e-4, 3.464102e-4)},
    {"objective.centering": ("softmax", "sinkhorn_knopp")},
    {"heads.bottleneck_dim": (256, 384), "heads.separate_ibot": (False, True)},
]


def test_a_rung_changes_what_it_names_and_nothing_else() -> None:
    rungs = [pretrain(path) for path in LADDER]
    assert [changed(a, b) for a, b in itertools.pairwise(rungs)] == STEPS
    assert rungs[-1] == pretrain(PRESETS / "dinov2_l14.yaml")
    assert rungs[0].optim.lr == pytest.approx(scaled_lr(2e-4, batch_size=2048), rel=1e-6)


def test_a_rung_names_its_published_result() -> None:
    # k-NN and linear accuracy on ImageNet-1k of a ViT-L on ImageNet-22k, Table 1.
    published = "74.5/83.2 75.4/82.0 76.6/81.9 78.9/82.5 78.7/83.1 78.9/83.5 79.4/83.6 80.5/83.8"
    results = [pair.split("/") for pair in f"{published} 81.7/84.7 81.7/84.7 82.0/84.5".split()]
    for path, (knn, linear) in zip(LADDER, results, strict=True):
        assert f"# Published: k-NN {knn}, linear {linear} on ImageNet-1k." in path.read_text()


def test_distilled_students_together_and_apart() -> None:
    together, _ = stage_knobs("distill", [PRESETS / "dinov2_distilled.yaml"])
    for letter, arch in zip("sbl", together.students, strict=True):
        apart, _ = stage_knobs("distill", [PRESETS / f"dinov2_{letter}_distilled.yaml"])
        assert apart.students == ()
        backbone = dataclasses.replace(together.backbone, arch=arch)
        assert apart == dataclasses.replace(together, students=(), backbone=backbone)


def test_the_adaptation_is_the_pretraining_compressed() -> None:
    long = pretrain(PRESETS / "dinov2_g14.yaml")
    short, _ = stage_knobs("adapt", [PRESETS / "highres_518.yaml"])
    share = short.optim.steps / long.optim.steps
    for block, knob in (
        ("optim", "warmup_steps"),
        ("optim", "freeze_last_layer_steps"),
        ("objective", "teacher_temp_warmup_steps"),
    ):
        lengths = [getattr(getattr(knobs, block), knob) for knobs in (short, long)]
        assert lengths[0] == share * lengths[1]
    assert short.optim.lr < long.optim.lr
