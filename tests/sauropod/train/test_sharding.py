"""Who am I among ranks; and two ranks train what one process trains."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sauropod.train import checkpoint, sharding, snapshot
from sauropod.train.sharding import Ranks, ranks

MakeManifest = Callable[..., Path]
SRC = Path(__file__).parents[3] / "src"
KNOBS = {
    "backbone.arch": "vit_small",
    "backbone.embed-dim": 16,
    "backbone.depth": 2,
    "backbone.num-heads": 2,
    "backbone.patch-size": 4,
    "backbone.image-size": 16,
    "backbone.ffn": "mlp",
    "backbone.drop-path": 0.0,
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
    "optim.steps": 3,
    "optim.lr": 1e-3,
    "optim.warmup-steps": 1,
    "optim.freeze-last-layer-steps": 0,
    "optim.precision": "fp32",
    # KoLeo is the one loss that looks at the images of one rank only.
    "objective.koleo-weight": 0.0,
    "objective.teacher-momentum": 0.9,
    "device": "cpu",
    "log-every": 1,
}


class TestRanks:
    def test_alone(self) -> None:
        assert ranks({}) == Ranks(rank=0, world_size=1, local_rank=0)

    def test_torchrun(self) -> None:
        environment = {
            "RANK": "5",
            "WORLD_SIZE": "8",
            "LOCAL_RANK": "1",
            "MASTER_ADDR": "gpu3",
            "MASTER_PORT": "1234",
            "SLURM_STEP_NUM_TASKS": "2",
        }
        assert ranks(environment) == Ranks(5, 8, 1, "gpu3", 1234)

    @pytest.mark.parametrize(
        ("nodes", "first"),
        [
            ("gpu7", "gpu7"),
            ("gpu[07-09,12],cpu1", "gpu07"),
            ("cpu1,gpu[07-09]", "cpu1"),
            ("rack2-gpu[3,5]", "rack2-gpu3"),
        ],
    )
    def test_slurm_step(self, nodes: str, first: str) -> None:
        environment = {
            "SLURM_JOB_ID": "123456",
            "SLURM_PROCID": "9",
            "SLURM_LOCALID": "1",
            "SLURM_STEP_NUM_TASKS": "16",
            "SLURM_STEP_NODELIST": nodes,
        }
        assert ranks(environment) == Ranks(9, 16, 1, first, 20000 + 123456 % 20000)

    def test_slurm_batch_script_is_alone(self) -> None:
        assert ranks({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "16", "SLURM_PROCID": "0"}) == Ranks()


def test_alone_nothing_is_sharded() -> None:
    network = nn.Linear(2, 2)
    sharding.shard([network], dtype=None)
    assert type(network.weight) is nn.Parameter
    assert sharding.total([1.0, torch.tensor(2.0)], device=torch.device("cpu")) == [1.0, 2.0]
    assert (sharding.rank(), sharding.world_size(), sharding.group()) == (0, 1, None)


def _pretrain(manifest: Path, out: Path, place: dict[str, str]) -> subprocess.Popen[str]:
    files = {
        "manifest": manifest,
        "out": out / "backbone.safetensors",
        "heads": out / "heads.safetensors",
        "log": out / "log.parquet",
        "checkpoints": out / "checkpoints",
    }
    words = [str(word) for name, value in (files | KNOBS).items() for word in (f"--{name}", value)]
    return subprocess.Popen(
        [sys.executable, str(SRC / "pretrain.py"), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", **place},
        stderr=subprocess.PIPE,
        text=True,
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_ranks_train_what_one_process_trains(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    manifest = make_manifest(bad=(3,))
    meet = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    running = [
        _pretrain(manifest, tmp_path / "two", {**meet, "RANK": str(i), "LOCAL_RANK": str(i)})
        for i in range(2)
    ]
    running.append(_pretrain(manifest, tmp_path / "one", {}))
    for process in running:
        _, said = process.communicate(timeout=100)
        assert process.returncode == 0, said

    for name in ("backbone.safetensors", "heads.safetensors"):
        one, two = load_file(tmp_path / "one" / name), load_file(tmp_path / "two" / name)
        assert one.keys() == two.keys()
        for key, value in one.items():
            # The K third of qkv.bias has no gradient but rounding noise, which Adam blows up.
            atol = 2e-3 if key.endswith("qkv.bias") else 2e-5
            torch.testing.assert_close(two[key], value, atol=atol, rtol=1e-4, msg=key)

    # The checkpoint of two ranks is that of one process.
    paths = []
    for run in ("one", "two"):
        (folder,) = (tmp_path / run / "checkpoints").iterdir()  # one per fingerprint
        paths.append(checkpoint.path_of(folder, 3))
    alone, together = (snapshot.verified(path, otherwise="") for path in paths)
    assert (len(alone["files"]), len(together["files"])) == (1, 2)
    for facts in (alone, together):
        del facts["files"]
    assert alone == together
    one, two = (snapshot.outlines(path) for path in paths)
    assert {name: value.shape for name, value in one.items()} == {
        name: value.shape for name, value in two.items()
    }
