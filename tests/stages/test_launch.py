"""A stage in one process, in several, watched, found again, stopped; with submitit's executor."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.sauropod.train.conftest import write_manifest

import pretrain
from sauropod.load_config import words
from sauropod.train.config import Backbone, Crops, Heads, Objective, Optim, Pretrain, Speed

SRC = Path(__file__).parents[2] / "src"
STAGE = '''"""A stage without training: says who it is, waits to be told to go on, ends as told."""
import os, signal, sys, time
from pathlib import Path

here, code = Path(sys.argv[2]), int(sys.argv[3])
rank = os.environ.get("SUBMITIT_LOCAL_GLOBALID", "alone")
with (here / "starts").open("a") as file:
    file.write(rank)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
while not (here / "go").exists():
    time.sleep(0.02)
print(f"rank {rank} ends", file=sys.stderr)
if code and rank == "0":
    time.sleep(1000)  # as a collective would, without the rank that fails
if rank != "1":
    (here / "out").write_text("made")
sys.exit(code)
'''


class Runs:
    """Runs of one stage by `launch.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stage = folder / "stage.py"
        self.stage.write_text(STAGE)
        self.log = folder / "log"

    def start(self, *flags: str, code: int = 0, more: tuple[str, ...] = ()) -> subprocess.Popen:
        command = [self.stage, "--checkpoints", self.folder, str(code), *more]
        where = ["--poll-s", "0.1", "--outputs", self.folder / "out", *flags]
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, SRC / "launch.py", *where, "--", *command],
                stderr=log,
                cwd=self.folder,
            )

    def go(self) -> None:
        (self.folder / "go").touch()

    def wait_for(self, told: Callable[[], bool]) -> None:
        while not told():
            time.sleep(0.02)

    @property
    def starts(self) -> str:
        path = self.folder / "starts"
        return "".join(sorted(path.read_text())) if path.exists() else ""

    @property
    def job(self) -> int:
        text = self.log.read_text()
        return int(text.partition("submitted job ")[2].partition(":")[0])


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


LOCAL = ("--launcher", "local", "--tasks-per-node", "2")


def test_one_process_without_submitit(runs: Runs) -> None:
    runs.go()
    assert runs.start(code=3).wait() == 3
    assert runs.starts == "".join(sorted("alone"))
    assert not (runs.folder / "jobs").exists()
    assert "submitit" not in runs.log.read_text()


def test_two_processes_and_their_log(runs: Runs) -> None:
    runs.go()
    assert runs.start(*LOCAL).wait() == 0
    assert runs.starts == "01"
    assert "rank 0 ends" in runs.log.read_text()
    assert "rank 1 ends" not in runs.log.read_text()
    assert not (runs.folder / "jobs" / "state.json").exists()
    assert not list((runs.folder / "jobs").glob("*/outputs"))


def test_a_rank_that_fails_is_heard(runs: Runs) -> None:
    runs.go()
    assert runs.start(*LOCAL, code=2).wait() == 2
    assert "rank 1 failed first" in runs.log.read_text()
    assert "rank 1 ends" in runs.log.read_text()


def test_a_running_job_is_found_again(runs: Runs) -> None:
    watcher = runs.start(*LOCAL)
    runs.wait_for(lambda: runs.starts == "01")
    watcher.kill()
    assert watcher.wait() == -signal.SIGKILL
    again = runs.start(*LOCAL)
    runs.wait_for(lambda: "found job" in runs.log.read_text())
    runs.go()
    assert again.wait() == 0
    assert runs.starts == "01"


def test_a_job_that_ended_unseen_is_not_run_again(runs: Runs) -> None:
    watcher = runs.start(*LOCAL)
    runs.wait_for(lambda: runs.starts == "01")
    watcher.kill()
    watcher.wait()
    runs.go()
    runs.wait_for(lambda: any(runs.folder.glob("jobs/*/ended.json")))
    (runs.folder / "out").unlink()  # as Snakemake does
    assert runs.start(*LOCAL).wait() == 0
    assert (runs.folder / "out").read_text() == "made"
    assert runs.starts == "01"


def test_another_command_waits_for_the_job_that_runs(runs: Runs) -> None:
    watcher = runs.start(*LOCAL)
    runs.wait_for(lambda: runs.starts == "01")
    assert runs.start(*LOCAL, more=("--seed", "1")).wait() == 2
    assert f"run again: kill {runs.job}" in runs.log.read_text()
    runs.go()
    assert watcher.wait() == 0


def test_the_newest_watcher_takes_over(runs: Runs) -> None:
    old = runs.start(*LOCAL)
    runs.wait_for(lambda: runs.starts == "01")
    new = runs.start(*LOCAL)
    assert old.wait() == 75
    assert "is watched by another process now" in runs.log.read_text()
    runs.go()
    assert new.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_stopped_with_a_checkpoint_then_run_again(runs: Runs, number: signal.Signals) -> None:
    watcher = runs.start(*LOCAL)
    runs.wait_for(lambda: runs.starts == "01")
    if number == signal.SIGTERM:
        watcher.send_signal(number)
    else:
        children = Path(f"/proc/{runs.job}/task/{runs.job}/children").read_text().split()
        for task in children:
            os.kill(int(task), number)
    assert watcher.wait() == 75
    assert "ended with a checkpoint after a signal" in runs.log.read_text()
    again = runs.start(*LOCAL)
    runs.wait_for(lambda: runs.starts == "0011")
    runs.go()
    assert again.wait() == 0


def test_killed_processes_can_go_on(runs: Runs) -> None:
    watcher = runs.start(*LOCAL)
    runs.wait_for(lambda: runs.starts == "01")
    children = Path(f"/proc/{runs.job}/task/{runs.job}/children").read_text().split()
    for process in (runs.job, *map(int, children)):
        os.kill(process, signal.SIGKILL)
    assert watcher.wait() == 75
    assert "ended without a word" in runs.log.read_text()
    runs.go()
    assert runs.start(*LOCAL).wait() == 0


PRETRAIN = Pretrain(
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
        batch_size=4, steps=3, lr=1e-3, warmup_steps=1, freeze_last_layer_steps=0, precision="fp32"
    ),
    objective=Objective(group_size=2),
)


@pytest.mark.slow
def test_pretrain_on_two_ranks_is_pretrain_on_one(tmp_path: Path) -> None:
    manifest, speed = write_manifest(tmp_path), Speed(device="cpu", cache=True, log_every=1)
    one, two = (tmp_path / name / "backbone.safetensors" for name in ("one", "two"))
    pretrain.main(manifest, one, knobs=PRETRAIN, speed=speed)
    where = [*LOCAL, "--poll-s", "0.1", "--", SRC / "pretrain.py"]
    files = ["--manifest", manifest, "--out", two, "--checkpoints", tmp_path / "checkpoints"]
    ended = subprocess.run(
        [sys.executable, SRC / "launch.py", *where, *files, *words(PRETRAIN), *words(speed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    logs = [pl.read_parquet(path.with_name("log.parquet")) for path in (one, two)]
    expected, found = (log.select("^loss.*$").to_numpy() for log in logs)
    assert expected.shape == (3, 5)
    assert found == pytest.approx(expected, rel=1e-5)
