"""Whole runs of a stage: killed and run again, by one process and under torchrun."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.sauropod.train.conftest import write_manifest

from sauropod import cli
from sauropod.train import checkpoint
from sauropod.train.data import Loaded
from sauropod.train.multicrop import MultiCrop

SRC = Path(__file__).parents[3] / "src"
KNOBS = {
    "backbone.arch": "vit_small",
    "backbone.embed-dim": 16,
    "backbone.depth": 2,
    "backbone.num-heads": 2,
    "backbone.patch-size": 4,
    "backbone.image-size": 16,
    "backbone.ffn": "mlp",
    "backbone.drop-path": 0.2,
    "backbone.layerscale": 0.5,
    "heads.num-prototypes": 24,
    "heads.bottleneck-dim": 8,
    "heads.hidden-dim": 16,
    "heads.ibot-num-prototypes": 16,
    "heads.ibot-bottleneck-dim": 8,
    "crops.global-size": 16,
    "crops.local-size": 8,
    "crops.num-local": 2,
    "optim.batch-size": 4,
    "optim.steps": 10,
    "optim.lr": 1e-3,
    "optim.warmup-steps": 1,
    "optim.freeze-last-layer-steps": 0,
    "optim.precision": "fp32",
    "objective.teacher-momentum": 0.9,
    "device": "cpu",
    "log-every": 1,
    "checkpoint-every": 5,
}
# `pretrain.py` whose last rank is killed while it loads the data of step 7, once.
MORTAL = f"""
import os, signal, sys
sys.path.insert(0, {str(SRC)!r})
import pretrain
from sauropod import cli
from sauropod.train.multicrop import MultiCrop

load = MultiCrop.__call__

def mortal(self, step):
    rank, restarts = (os.environ.get(name) for name in ("RANK", "TORCHELASTIC_RESTART_COUNT"))
    if step == 7 and rank in (None, "1") and restarts in (None, "0"):
        os.write(2, b"now I die")
        os.kill(os.getpid(), signal.SIGKILL)
    return load(self, step)

MultiCrop.__call__ = mortal
cli.run(pretrain.main)
"""
WEIGHTS = ("backbone.safetensors", "heads.safetensors")


def words(manifest: Path, out: Path, **knobs: object) -> list[str]:
    files = {
        "manifest": manifest,
        "out": out / "backbone.safetensors",
        "heads": out / "heads.safetensors",
        "log": out / "log.parquet",
        "checkpoints": out / "checkpoints",
    }
    more = {name.replace("_", "-"): value for name, value in knobs.items()}
    flags = files | KNOBS | more
    return [str(word) for name, value in flags.items() for word in (f"--{name}", value)]


def process(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=100,
    )


def steps(out: Path) -> list[int]:
    (folder,) = (out / "checkpoints").iterdir()  # one per fingerprint
    return checkpoint.steps(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session")
    write_manifest(folder, bad=(3,))
    (folder / "mortal.py").write_text(MORTAL)
    return folder


def pretrain(out: Path, monkeypatch: pytest.MonkeyPatch, **knobs: object) -> Path:
    """Run the stage to its end in this process."""
    import pretrain as stage

    manifest = out.parent / "manifest.parquet"
    monkeypatch.setattr(sys, "argv", ["pretrain.py", *words(manifest, out, **knobs)])
    cli.run(stage.main)
    return out


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """A run that nobody disturbed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return pretrain(folder / "whole", monkeypatch)


def assert_equal(one: Path, two: Path) -> None:
    for name in WEIGHTS:
        a, b = load_file(one / name), load_file(two / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), name


def test_ten_steps_are_five_and_two_lost_in_a_kill_and_five(
    folder: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "killed"
    done = process(folder / "mortal.py", *words(folder / "manifest.parquet", out))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert steps(out) == [5]
    assert not (out / "backbone.safetensors").exists()
    assert_equal(pretrain(out, monkeypatch), whole)


def test_a_run_that_is_asked_to_stop_says_run_me_again(
    folder: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "stopped"

    def asked(self: MultiCrop, step: int) -> Loaded:
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return load(self, step)

    load = MultiCrop.__call__
    with monkeypatch.context() as patch:
        patch.setattr(MultiCrop, "__call__", asked)
        with pytest.raises(SystemExit) as stopped:
            pretrain(out, patch)
    assert stopped.value.code == cli.AGAIN
    assert steps(out) == [5, 8]
    assert_equal(pretrain(out, monkeypatch), whole)


def test_torchrun_replaces_a_killed_rank_and_ends_as_one_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # KoLeo looks at the images of one rank only; stochastic depth is drawn per rank.
    same = {"objective.koleo_weight": 0.0, "backbone.drop_path": 0.0, "optim.steps": 8}
    out = folder / "torchrun"
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    told = words(folder / "manifest.parquet", out, **same)
    # The two dashes keep torchrun from taking --log for one of its own flags.
    done = process(*torchrun, "--max-restarts=1", "--", folder / "mortal.py", *told)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("now I die") == 1
    assert steps(out) == [5, 8]

    alone = pretrain(folder / "alone", monkeypatch, **same)
    for name in WEIGHTS:
        one, two = load_file(alone / name), load_file(out / name)
        assert one.keys() == two.keys()
        for key, value in one.items():
            # The K third of qkv.bias has no gradient but rounding noise, which Adam blows up.
            atol = 8e-3 if key.endswith("qkv.bias") else 5e-5
            torch.testing.assert_close(two[key], value, atol=atol, rtol=1e-4, msg=key)
    facts = [json.loads((path / "backbone.json").read_text()) for path in (alone, out)]
    assert facts[0] == facts[1]
