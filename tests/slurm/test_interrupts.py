"""Snakemake stopped in three ways while a data job and a training run: the next run goes on."""

import dataclasses
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.sauropod.train.conftest import jpeg, write_manifest
from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import Workflow
from tests.slurm.training import KNOBS, SPEED

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
SETS = ("quick", "slow")
JOBS = "checkpoints/pretrain/main/jobs"
BACKBONE = "results/pretrain/main/backbone.safetensors"
TARGETS = [*(f"results/ingest/{name}-00000.parquet" for name in SETS), BACKBONE]


class Making(Workflow):
    """A training whose manifest is there, and the ingestion of two folders."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """Write what they need; nothing starts yet."""
        manifest = folder / "results" / "manifest" / "lvd.parquet"
        manifest.parent.mkdir(parents=True)
        write_manifest(folder, count=24).rename(manifest)
        for name in SETS:
            (folder / name).mkdir()
            for number in range(3):
                (folder / name / f"{number}.jpg").write_bytes(jpeg(number))
        (folder / "world").mkdir()
        (folder / "world" / "truth.parquet").touch()  # ingestion waits for it
        config = folder / "making.yaml"
        config.write_text(json.dumps(_config(folder)))
        files = ["--configfile", "config/demo.yaml", str(config)]
        allowed = ["--allowed-rules", "pretrain", "ingest_reference"]
        super().__init__(cluster, folder, *files, *allowed, targets=TARGETS)
        self.training_log = folder / "logs" / "pretrain" / "main.log"

    def again(self) -> subprocess.Popen[bytes]:
        """Start it once more, and wait until it watches the training's first job."""
        self.training_log.unlink()
        process = self.start()
        until(
            lambda: self.training_log.exists() and "found job" in self.training_log.read_text(),
            "the training to be found",
        )
        return process

    def running(self, what: str) -> str:
        """Wait until a job runs whose name or rule says so; returns its number."""
        found: list[str] = []

        def runs() -> bool:
            queue = self.cluster.run("squeue", "--noheader", "--states=R", "--format=%i %j %k")
            found[:] = [line.split()[0] for line in queue.splitlines() if what in line]
            return bool(found)

        until(runs, f"{what} to run")
        return found[0]

    def hold(self, what: str) -> str:
        """Have a running job stand still, so that it does not end by itself meanwhile."""
        job = self.running(what)
        self.cluster.run("scontrol", "suspend", job)
        return job

    def made(self) -> dict[str, int]:
        """When each of the targets was written that is there."""
        paths = [self.directory / target for target in self.targets]
        return {str(path): path.stat().st_mtime_ns for path in paths if path.exists()}


def _config(folder: Path) -> dict[str, object]:
    optim = dataclasses.replace(KNOBS.optim, steps=200)
    return {
        "curated": [{"name": name, "path": str(folder / name)} for name in SETS],
        "manifest": {"recipe": [f"{name}:as_is" for name in SETS]},
        "pretrain": dataclasses.asdict(dataclasses.replace(KNOBS, optim=optim)),
        "speed": {"pretrain": dataclasses.asdict(SPEED)},
    }


def test_interrupted_terminated_and_killed(cluster: Cluster, tmp_path: Path) -> None:
    make = Making(cluster, tmp_path)
    process = make.start()
    make.hold("slow")
    until(
        lambda: any(tmp_path.glob("checkpoints/pretrain/main/*/step-*")),
        "the training's first checkpoint",
    )
    (name,) = (path.name for path in make.directory.glob(f"{JOBS}/pretrain-*"))
    training = make.hold(name)
    until(lambda: "1 of 3 steps" in make.told(), "the quick one to end")
    quick = make.made()
    assert len(quick) == 1
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    assert process.wait() != 0
    assert make.jobs() == [], "a data job was orphaned"

    process = make.again()
    make.hold("slow")
    process.kill()
    process.wait()
    assert len(make.jobs()) == 1, "Slurm does not know that Snakemake is gone"
    assert make.start("--unlock").wait() == 0

    process = make.again()
    assert "1 jobs of a killed run cancelled" in make.told()
    make.running("slow")
    cluster.run("scontrol", "resume", training)
    process.terminate()  # which has Snakemake wait for what runs
    assert process.wait() != 0
    assert make.jobs() == []
    assert len(make.made()) == len(TARGETS), make.told()

    made = make.made()
    assert make.start().wait() == 0, make.told()
    assert made == make.made(), "something was made twice"
    assert quick.items() <= made.items(), "something was made twice"
    assert len(list(tmp_path.glob(f"{JOBS}/pretrain-*"))) == 1
