"""A training as a job of the cluster, watched from here, and what can be done to it."""

import dataclasses
import random
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
from tests.sauropod.train.conftest import write_manifest
from tests.slurm.cluster import ROOT, Cluster, until

from sauropod.load_config import words
from sauropod.train.config import Backbone, Crops, Heads, Objective, Optim, Pretrain, Speed
from sauropod.train.log import MEASURED

SPEED = Speed(device="cpu", cache=True, log_every=1, checkpoint_every=20)
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
INTERRUPTIONS, WITHIN = 10, 600  # spread over so many steps
NODE = "gpu2"  # where that training is interrupted
LATER = ("nice", "-n", "10")  # of what is ready long before it is asked for, its jobs too


class Training:
    """pretrain as a job of the cluster."""

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
        launch = ["--launcher", "slurm", "--poll-s", "0.5", *where, "--outputs", self.out]
        command = [ROOT / "src" / "launch.py", *launch, "--", *self._stage(self.out)]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command, "--checkpoints", self.jobs.parent],
                env=self.cluster.environment,
                stderr=log,
            )

    def _stage(self, out: Path) -> list[str | Path]:
        files = ["--manifest", self.manifest, "--out", out]
        return [ROOT / "src" / "pretrain.py", *files, *words(self.knobs), *words(SPEED)]

    def code_of(self, watcher: subprocess.Popen[bytes]) -> int:
        """Wait for the watcher, which believes the job's word, and for the job's last task."""
        code = watcher.wait()
        until(lambda: not self.in_queue(), "the last task to end")
        return code

    def submissions(self) -> list[str]:
        """Names of its jobs, in no order."""
        return [path.name for path in self.jobs.glob("pretrain-*")]

    def in_queue(self) -> list[str]:
        """Its jobs that have not ended: id and state."""
        names = ",".join(self.submissions())
        return self.cluster.jobs(f"--name={names}") if names else []

    def told(self) -> str:
        """Everything the watcher said, the job's log included."""
        return self.log.read_text()

    def starts(self) -> int:
        """Times that it came as far as its first step."""
        return self.told().count("knobs: device=cpu")

    def step(self) -> int:
        """Step of its last checkpoint."""
        paths = self.jobs.parent.glob("*/step-*")
        return max((int(path.name.partition("-")[2]) for path in paths), default=0)

    def in_one_process(self, folder: Path) -> Path:
        """The same training here, uninterrupted, in a process of its own: threads as in a job."""
        out = folder / "here" / "backbone.safetensors"
        command = [*LATER, sys.executable, *self._stage(out)]
        subprocess.run(command, env=self.cluster.environment, check=True, capture_output=True)
        return out

    def interrupted(self) -> int:
        """Run it, stopped at random times in three ways, and at last by the loss of its node."""
        watcher = self.start("--partition", "gpu", "--extra", f"nodelist={NODE}")
        rng = random.Random(6)
        stops = [self._warn, self._requeue, self._preempt]
        for number, step in enumerate(sorted(rng.sample(range(WITHIN), INTERRUPTIONS)), 1):
            until(lambda number=number: self.starts() == number, "a start")
            until(lambda step=step: self.step() >= step, f"step {step}")
            time.sleep(rng.uniform(0, 0.5))
            stops[number % len(stops)](self.in_queue()[0].split()[0])
        until(lambda: self.starts() == INTERRUPTIONS + 1, "the last start")
        self.cluster.kill_node(NODE)
        self.cluster.start_node(NODE)
        return self.code_of(watcher)

    def _warn(self, job: str) -> None:
        """As ahead of a time limit."""
        self.cluster.run("scancel", "--signal=USR2", job)

    def _requeue(self, job: str) -> None:
        self.cluster.run("scontrol", "requeue", job)

    def _preempt(self, _job: str) -> None:
        """A job of a partition that goes first wants the whole node."""
        asked = ["--partition=gpu_first", f"--nodelist={NODE}", "--exclusive", "--mem=0"]
        self.cluster.run("sbatch", *asked, "--output=/dev/null", "--wrap=true")


def log_of(backbone: Path) -> pl.DataFrame:
    """What a training logged, but for what it measured of the machine."""
    return pl.read_parquet(backbone.with_name("log.parquet")).drop(MEASURED)
