"""Stages pretrain, adapt and distill, chained on twelve tiny images; and what they refuse."""

import dataclasses
import hashlib
import io as bytes_io
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import adapt
import distill
import pretrain
from sauropod import cli, io, schema
from sauropod.errors import InputError
from sauropod.models.head import build_heads
from sauropod.models.weights import load_backbone, load_heads
from sauropod.train.config import (
    Adapt,
    Backbone,
    Crops,
    Distill,
    Heads,
    Objective,
    Optim,
    Pretrain,
    Speed,
)

SPEED = Speed(device="cpu", cache=True, log_every=1)
SMALL = Crops(global_size=16, local_size=8, num_local=2, engine="cv2")
OPTIM = Optim(
    batch_size=4, steps=3, lr=1e-3, warmup_steps=1, freeze_last_layer_steps=0, precision="fp32"
)
OBJECTIVE = Objective(teacher_temp_warmup_steps=2, teacher_momentum=0.5, teacher_momentum_end=0.5)
BACKBONE = Backbone(
    arch="vit_small",
    embed_dim=16,
    depth=2,
    num_heads=2,
    patch_size=4,
    image_size=16,
    ffn="mlp",
    drop_path=0.2,
)
HEADS = Heads(
    num_prototypes=24,
    bottleneck_dim=8,
    hidden_dim=16,
    ibot_num_prototypes=16,
    ibot_bottleneck_dim=8,
)
PRETRAIN = Pretrain(backbone=BACKBONE, heads=HEADS, crops=SMALL, optim=OPTIM, objective=OBJECTIVE)


def write_manifest(folder: Path) -> Path:
    """Twelve smooth random pictures in one tar, and their manifest."""
    tar, rows = folder / "pool-00000.tar", []
    with io.TarWriter(tar) as writer:
        for i in range(12):
            rough = np.random.default_rng(i).integers(0, 256, (4, 4, 3)).astype(np.uint8)
            buffer = bytes_io.BytesIO()
            Image.fromarray(rough).resize((40, 40), Image.Resampling.BICUBIC).save(buffer, "PNG")
            data = buffer.getvalue()
            rows.append(
                {
                    "image_id": i,
                    "tar": str(tar),
                    "offset": writer.add(f"{i:08d}.png", data),
                    "num_bytes": len(data),
                    "source": "as_is",
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            )
    path = folder / "manifest.parquet"
    frame = pl.DataFrame(rows, schema=schema.MANIFEST.columns)
    schema.write(frame, path, schema.MANIFEST, made_by=io.stamp("manifest", knobs={}, inputs=[]))
    return path


@dataclasses.dataclass(frozen=True)
class Trained:
    """Files of the three stages."""

    manifest: Path
    folder: Path

    def file(self, stage: str, name: str) -> Path:
        return self.folder / stage / name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """All three stages, one after the other."""
    folder = tmp_path_factory.mktemp("training")
    done = Trained(write_manifest(folder), folder)
    pretrain.main(
        manifest=done.manifest,
        out=done.file("pretrain", "backbone.safetensors"),
        heads=done.file("pretrain", "heads.safetensors"),
        log=done.file("pretrain", "log.parquet"),
        checkpoints=folder / "checkpoints" / "pretrain",
        knobs=PRETRAIN,
        speed=SPEED,
    )
    adapt.main(
        manifest=done.manifest,
        backbone=done.file("pretrain", "backbone.safetensors"),
        heads=done.file("pretrain", "heads.safetensors"),
        out=done.file("adapt", "backbone.safetensors"),
        out_heads=done.file("adapt", "heads.safetensors"),
        log=done.file("adapt", "log.parquet"),
        checkpoints=folder / "checkpoints" / "adapt",
        knobs=Adapt(
            crops=dataclasses.replace(SMALL, global_size=24, local_size=12),
            optim=OPTIM,
            objective=OBJECTIVE,
        ),
        speed=SPEED,
    )
    distill.main(
        manifest=done.manifest,
        teacher=done.file("adapt", "backbone.safetensors"),
        teacher_heads=done.file("adapt", "heads.safetensors"),
        out=(done.file("distill", "backbone.safetensors"),),
        heads=(done.file("distill", "heads.safetensors"),),
        log=done.file("distill", "log.parquet"),
        checkpoints=folder / "checkpoints" / "distill",
        knobs=Distill(
            backbone=dataclasses.replace(BACKBONE, embed_dim=8, depth=1, drop_path=0.0),
            crops=SMALL,
            optim=OPTIM,
            objective=dataclasses.replace(OBJECTIVE, mask_probability=0.0),
        ),
        speed=SPEED,
    )
    return done


@pytest.mark.parametrize("stage", ["pretrain", "adapt", "distill"])
def test_log_has_a_row_per_step_and_finite_losses(trained: Trained, stage: str) -> None:
    log = pl.read_parquet(trained.file(stage, "log.parquet"))
    assert log["step"].to_list() == [1, 2, 3]
    losses = log.select(pl.col("^loss/.*$"))
    whose = "vit_small/" if stage == "distill" else ""
    names = ("dino_local", "dino_global", "ibot", "koleo")
    assert losses.columns == [f"loss/{whose}{name}" for name in names]
    assert np.isfinite(losses.to_numpy()).all()
    norms = log.select(pl.col("^grad_norm/.*$")).columns
    parts = ("backbone", "dino_head", "ibot_head")
    assert norms == [f"grad_norm/{whose}{part}" for part in parts]


@pytest.mark.parametrize("stage", ["pretrain", "adapt", "distill"])
def test_facts_beside_the_weights(trained: Trained, stage: str) -> None:
    facts = json.loads(trained.file(stage, "backbone.json").read_text())
    assert facts["stage"] == stage
    assert facts["steps"] == 3
    assert len(facts["manifest_sha256"]) == 64
    assert len(facts["weights"]) == (0 if stage == "pretrain" else 2)


def test_architectures(trained: Trained) -> None:
    shapes = {}
    for stage in ("pretrain", "adapt", "distill"):
        vit, knobs = load_backbone(trained.file(stage, "backbone.safetensors"))
        load_heads(trained.file(stage, "heads.safetensors"))
        shapes[stage] = (vit.pos_embed.shape[1], knobs.image_size, knobs.embed_dim)
        features = vit.forward_features([torch.zeros(1, 3, 16, 16)])[0]
        assert features.cls_token.isfinite().all()
    assert shapes == {"pretrain": (17, 16, 16), "adapt": (37, 24, 16), "distill": (17, 16, 8)}


def test_adapt_goes_on_from_the_pretrained_weights(trained: Trained) -> None:
    old, _ = load_backbone(trained.file("pretrain", "backbone.safetensors"))
    new, _ = load_backbone(trained.file("adapt", "backbone.safetensors"))
    a, b = old.blocks[0].attn.qkv.weight, new.blocks[0].attn.qkv.weight
    assert not torch.equal(a, b)
    assert (a - b).abs().max() < 0.01


def test_rerun_gives_the_same_weights_whatever_the_speed(trained: Trained, tmp_path: Path) -> None:
    pretrain.main(
        manifest=trained.manifest,
        out=tmp_path / "backbone.safetensors",
        heads=tmp_path / "heads.safetensors",
        log=tmp_path / "log.parquet",
        checkpoints=tmp_path / "checkpoints",
        knobs=PRETRAIN,
        speed=dataclasses.replace(SPEED, cache=False, num_workers=1, log_every=2),
    )
    for name in ("backbone.safetensors", "heads.safetensors"):
        one, two = load_file(trained.file("pretrain", name)), load_file(tmp_path / name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_warm_start(trained: Trained, tmp_path: Path) -> None:
    still = dataclasses.replace(OPTIM, lr=0.0, min_lr=0.0, weight_decay=0.0, weight_decay_end=0.0)
    source = trained.file("pretrain", "backbone.safetensors")
    pretrain.main(
        manifest=trained.manifest,
        out=tmp_path / "backbone.safetensors",
        heads=tmp_path / "heads.safetensors",
        log=tmp_path / "log.parquet",
        checkpoints=tmp_path / "checkpoints",
        knobs=dataclasses.replace(PRETRAIN, optim=still),
        speed=SPEED,
        init=source,
    )
    old, _ = load_backbone(source)
    new, _ = load_backbone(tmp_path / "backbone.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))


def test_heads_learn_alone_at_first(trained: Trained, tmp_path: Path) -> None:
    alone = dataclasses.replace(OPTIM, head_warmup_steps=OPTIM.steps)
    source = trained.file("pretrain", "backbone.safetensors")
    pretrain.main(
        manifest=trained.manifest,
        out=tmp_path / "backbone.safetensors",
        heads=tmp_path / "heads.safetensors",
        log=tmp_path / "log.parquet",
        checkpoints=tmp_path / "checkpoints",
        knobs=dataclasses.replace(PRETRAIN, optim=alone, seed=1),
        speed=SPEED,
        init=source,
    )
    old, new = load_file(source), load_file(tmp_path / "backbone.safetensors")
    assert all(torch.equal(old[key], new[key]) for key in old)
    heads = load_file(tmp_path / "heads.safetensors")
    fresh = build_heads(HEADS, embed_dim=BACKBONE.embed_dim, seed=1).state_dict()
    assert not torch.equal(heads["dino_head.mlp.0.weight"], fresh["dino_head.mlp.0.weight"])


def test_warm_start_on_another_grid_with_heads_and_a_probe(
    trained: Trained, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for split, number in (("train", 4), ("val", 2)):
        for shade in ("dark", "light"):
            folder = tmp_path / "shades" / split / shade
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 100, (20, 20, 3)) + (150 if shade == "light" else 0)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    out = tmp_path / "out" / "backbone.safetensors"
    pretrain.main(
        manifest=trained.manifest,
        out=out,
        knobs=dataclasses.replace(PRETRAIN, backbone=dataclasses.replace(BACKBONE, image_size=24)),
        speed=dataclasses.replace(SPEED, probe_every=2, accumulate=2, recompute=True),
        init=trained.file("pretrain", "backbone.safetensors"),
        init_heads=trained.file("pretrain", "heads.safetensors"),
        probe=(tmp_path / "shades",),
    )
    vit, _ = load_backbone(out)
    assert vit.pos_embed.shape == (1, 37, 16)
    log = pl.read_parquet(out.with_name("log.parquet"))
    assert log["probe/shades"].is_null().to_list() == [True, False, True]
    assert 0 <= log["probe/shades"][1] <= 1
    assert log["health/feature_rank"].is_between(1, 16).all()
    facts = json.loads(out.with_suffix(".json").read_text())
    assert len(facts["weights"]) == 2


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        (
            Distill(backbone=dataclasses.replace(BACKBONE, patch_size=8)),
            r"patch size 8.*set backbone\.patch_size to 4",
        ),
        (
            Distill(students=("vit_small", "vit_base")),
            r"--out: expected .* each of vit_small, vit_base",
        ),
    ],
    ids=["another patch size", "fewer files than students"],
)
def test_distill_refuses(trained: Trained, tmp_path: Path, knobs: Distill, said: str) -> None:
    with pytest.raises(InputError, match=said):
        distill.main(
            manifest=trained.manifest,
            teacher=trained.file("adapt", "backbone.safetensors"),
            teacher_heads=trained.file("adapt", "heads.safetensors"),
            out=(tmp_path / "backbone.safetensors",),
            heads=(tmp_path / "heads.safetensors",),
            log=tmp_path / "log.parquet",
            checkpoints=tmp_path / "checkpoints",
            knobs=knobs,
            speed=SPEED,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_whose_tar_moved_ends_with_2_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_manifest(tmp_path)
    (tmp_path / "pool-00000.tar").unlink()
    out = tmp_path / "out"
    flags = {
        "--manifest": manifest,
        "--out": out / "backbone.safetensors",
        "--heads": out / "heads.safetensors",
        "--heads.num-prototypes": 24,
        "--log": out / "log.parquet",
        "--checkpoints": out / "checkpoints",
    }
    words = [str(word) for pair in flags.items() for word in pair]
    monkeypatch.setattr(sys, "argv", ["pretrain.py", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.run(pretrain.main)
    assert stopped.value.code == cli.MISTAKE
    assert "pool-00000.tar: expected a tar" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


@pytest.mark.parametrize("stage", [pretrain, adapt, distill])
def test_help(
    stage: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{stage.__name__}.py", "--help"])
    with pytest.raises(SystemExit) as stopped:
        cli.run(stage.main)
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--manifest", "--checkpoints", "--optim.lr", "--num-workers"):
        assert flag in shown
