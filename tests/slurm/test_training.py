"""Trainings as jobs: nodes are one process, interruptions change nothing, jobs are found again."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from safetensors.torch import load_file
from tests.sauropod.train.conftest import write_manifest
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import ROOT, Workflow

import pretrain
from sauropod.load_config import words
from sauropod.train.config import Backbone, Crops, Heads, Objective, Optim, Pretrain, Speed
from sauropod.train.log import MEASURED

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

SPEED = Speed(device="cpu", cache=True, log_every=1, checkpoint_every=10)
KNOBS = Pretrain(
    backbone=Backbone(
        arch="vit_small",
        embed_dim=16,
        depth=1,
        num_heads=2,
        patch_size=4,
        image_size=16,
        ffn="mlp",
        layerscale=0.5,  # at 1e-5 all images look alike, and KoLeo is all rounding
        drop_path=0.0,
    ),
    heads=Heads(
        num_prototypes=24,
        bottleneck_dim=8,
        hidden_dim=16,
        ibot_num_prototypes=16,
        ibot_bottleneck_dim=8,
    ),
    crops=Crops(global_size=16, local_size=8, num_local=2, engine="cv2"),
    optim=Optim(
        batch_size=8, steps=3, lr=1e-3, warmup_steps=1, freeze_last_layer_steps=0, precision="fp32"
    ),
    objective=Objective(group_size=2),
)
INTERRUPTIONS = 10
BACKBONE = "results/pretrain/main/backbone.safetensors"


class Training:
    """pretrain as a job of the cluster, watched from here."""

    def __init__(self, cluster: Cluster, folder: Path, *, steps: int) -> None:
        """Say what to train; nothing starts yet."""
        optim = dataclasses.replace(KNOBS.optim, steps=steps)
        self.cluster = cluster
        self.knobs = dataclasses.replace(KNOBS, optim=optim)
        self.manifest = write_manifest(folder, count=24)
        self.out = folder / "slurm" / "backbone.safetensors"
        self.jobs = folder / "checkpoints" / "jobs"
        self.log = folder / "watcher.log"

    def start(self, *where: str) -> subprocess.Popen[bytes]:
        """Submit and watch it, beside the test."""
        files = ["--manifest", self.manifest, "--out", self.out, "--checkpoints", self.jobs.parent]
        flags = [*words(self.knobs), *words(SPEED)]
        launch = ["--launcher", "slurm", "--poll-s", "0.5", *where, "--outputs", self.out]
        command = [ROOT / "src" / "launch.py", *launch, "--", ROOT / "src" / "pretrain.py"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command, *files, *flags],
                env=self.cluster.environment,
                stderr=log,
            )

    def code_of(self, watcher: subprocess.Popen[bytes]) -> int:
        """Wait for the watcher, which believes the job's word, and for the job's last task."""
        code = watcher.wait()
        until(lambda: not self.cluster.jobs(), "the last task to end")
        return code

    def told(self) -> str:
        """Everything the watcher said, the job's log included."""
        return self.log.read_text()

    def in_one_process(self, folder: Path) -> Path:
        """The same training here, uninterrupted."""
        out = folder / "here" / "backbone.safetensors"
        pretrain.main(self.manifest, out, knobs=self.knobs, speed=SPEED)
        return out


def log_of(backbone: Path) -> pl.DataFrame:
    return pl.read_parquet(backbone.with_name("log.parquet")).drop(MEASURED)


def test_two_nodes_of_two_tasks_are_one_process(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=3)
    where = ["--nodes", "2", "--tasks-per-node", "2"]
    assert training.code_of(training.start(*where)) == 0, training.told()
    assert "2 x 2 processes" in training.told()
    logs = [log_of(path) for path in (training.out, training.in_one_process(tmp_path))]
    found, expected = (log.select("^loss.*$").to_numpy() for log in logs)
    assert expected.shape == (3, 5)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.drill
def test_ten_interruptions_change_no_bit(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=300)
    watcher = training.start()
    rng = random.Random(6)
    for number in range(1, INTERRUPTIONS + 1):
        until(lambda number=number: training.told().count("Starting with") == number, "a start")
        time.sleep(rng.uniform(1, 4))
        (job,) = (line.split()[0] for line in cluster.jobs())
        warn = ["scancel", "--signal=USR2", job]  # as ahead of a time limit or a pre-emption
        cluster.run(*(warn if rng.random() < 0.5 else ["scontrol", "requeue", job]))
    assert training.code_of(watcher) == 0, training.told()
    assert len(list(training.jobs.glob("pretrain-*"))) == 1, "one job, requeued"
    expected = training.in_one_process(tmp_path)
    assert log_of(training.out).equals(log_of(expected))
    ours, theirs = load_file(training.out), load_file(expected)
    assert all(ours[name].equal(value) for name, value in theirs.items())


def test_cancelled_ends_and_can_go_on(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=100_000)
    watcher = training.start()
    until(lambda: any(training.jobs.parent.glob("*/step-*")), "a checkpoint")
    cluster.cancel_all()
    assert watcher.wait() == 75
    assert "ended: CANCELLED" in training.told()
    assert "run again to go on from the last checkpoint" in training.told()


@pytest.mark.drill
def test_lost_node_is_no_loss(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=300)
    watcher = training.start("--extra", "nodelist=cpu1")
    until(lambda: any(training.jobs.parent.glob("*/step-*")), "a checkpoint")
    cluster.kill_node("cpu1")
    cluster.start_node("cpu1")
    assert training.code_of(watcher) == 0, training.told()


def test_refused_job_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    training = Training(cluster, tmp_path, steps=3)
    assert training.start("--partition", "nowhere").wait() == 2
    last = training.told().splitlines()[-1]
    assert last.startswith("launch.py: error: launch: expected a cluster that takes the job")
    assert "invalid partition specified: nowhere" in last


@pytest.mark.drill
def test_killed_snakemake_finds_its_training_again(cluster: Cluster, tmp_path: Path) -> None:
    make = Making(cluster, tmp_path, steps=600)
    first = make.start()
    until(lambda: "RUNNING" in make.told(), "the training to run")
    os.killpg(first.pid, signal.SIGINT)  # what Ctrl-C does
    assert first.wait() != 0

    second = make.start()
    until(lambda: "found job" in make.told(), "the training to be found")
    second.kill()
    second.wait()
    assert make.start("--unlock").wait() == 0

    third = make.start()
    until(lambda: "found job" in make.told(), "the training to be found")
    third.terminate()  # which has Snakemake wait for what runs
    third.wait()
    assert make.start().wait() == 0, make.workflow.told() + make.told()
    assert (tmp_path / BACKBONE).exists()
    assert len(list(tmp_path.glob("checkpoints/pretrain/main/jobs/pretrain-*"))) == 1


def test_training_that_ended_unseen_is_not_run_again(cluster: Cluster, tmp_path: Path) -> None:
    make = Making(cluster, tmp_path, steps=20)
    first = make.start()
    until(lambda: "RUNNING" in make.told(), "the training to run")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    until(lambda: not cluster.jobs(), "the training to end")
    assert make.start("--unlock").wait() == 0
    assert make.start().wait() == 0, make.workflow.told() + make.told()
    assert (tmp_path / BACKBONE).exists()
    assert len(list(tmp_path.glob("checkpoints/pretrain/main/jobs/pretrain-*"))) == 1


class Making:
    """`snakemake --profile slurm` of one training, whose manifest is there."""

    def __init__(self, cluster: Cluster, folder: Path, *, steps: int) -> None:
        """Write what it needs; nothing starts yet."""
        optim = dataclasses.replace(KNOBS.optim, steps=steps)
        knobs = dataclasses.asdict(dataclasses.replace(KNOBS, optim=optim))
        speed = {"pretrain": dataclasses.asdict(SPEED)}
        config = folder / "tiny.yaml"
        config.write_text(json.dumps({"pretrain": knobs, "speed": speed}))
        manifest = folder / "results" / "manifest" / "lvd.parquet"
        manifest.parent.mkdir(parents=True)
        write_manifest(folder, count=24).rename(manifest)
        files = ["--configfile", "config/demo.yaml", str(config)]
        launch = "pretrain:launch=--launcher=slurm --poll-s=1"
        flags = ["--set-resources", launch, "--allowed-rules", "pretrain"]
        self.workflow = Workflow(cluster, folder, *files, *flags)
        self.log = folder / "logs" / "pretrain" / "main.log"

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start it beside the test, as the head of a group of processes."""
        self.log.unlink(missing_ok=True)
        with self.workflow.log.open("ab") as log:
            return subprocess.Popen(
                [*self.workflow.command, *flags, "--", BACKBONE],
                cwd=ROOT,
                env=self.workflow.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def told(self) -> str:
        """What the rule's log says."""
        return self.log.read_text() if self.log.exists() else ""
