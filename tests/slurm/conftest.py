"""One cluster for all tests of a session, and `snakemake --profile slurm` on it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
import yaml
from tests.slurm.cluster import ROOT, Cluster, slurm
from tests.slurm.phases import MANIFEST, PARTITIONS, grouped
from tests.slurm.training import LATER, Training

from sauropod.slurm import RUN_ID

# Quick reactions; on a cluster that is not a test's own the profile's patience is right.
QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"]
TINY = ["--configfile", "config/demo.yaml", "tests/slurm/tiny.yaml"]
DRILLS = ["-s", "tests/slurm/drills.smk"]
SMALL = "--launcher slurm --partition gpu --nodes 1 --gpus-per-node 0 --mem-gb 4 --poll-s 2"
SLOW = ("whole", "here", "failing", "interrupted")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two CPU nodes, and two with two fake GPUs each."""
    with slurm() as running:
        yield running
        assert running.jobs() == [], "jobs were left in the queue"


@pytest.fixture(scope="session", autouse=True)
def _slow_ones_first(request: pytest.FixtureRequest) -> None:
    """What takes minutes goes on beside the other tests."""
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in SLOW:
        if name in asked:
            request.getfixturevalue(name)


def on_fake_gpus(partitions: Mapping[str, str]) -> list[str]:
    """The profile's own resources, but on the CPU of the nodes: a fake GPU computes nothing.

    Args:
        partitions: Where rules run instead.
    """
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    asked = {
        f"{rule}:{key}": SMALL if key == "launch" else value
        for rule, resources in profile["set-resources"].items()
        for key, value in resources.items()
        if key != "speed"
    }
    asked |= {f"{rule}:slurm_partition": partition for rule, partition in partitions.items()}
    return ["--set-resources", *(f"{key}={value}" for key, value in asked.items())]


class Workflow:
    """`snakemake --profile slurm` from the root of the repository, with a run's own directory."""

    def __init__(
        self,
        cluster: Cluster,
        directory: Path,
        *flags: str,
        targets: Sequence[str] = (),
        partitions: Mapping[str, str] = MappingProxyType({}),
        prefix: Sequence[str] = (),
    ) -> None:
        """Say what to run, and which rules in another partition; nothing starts yet."""
        self.command = [*prefix, sys.executable, "tests/slurm/quick.py", "--profile", "slurm"]
        self.command += [*QUICK, "--directory", str(directory), *flags, *on_fake_gpus(partitions)]
        path = f"{Path(sys.executable).parent}:{cluster.environment['PATH']}"
        self.environment = {**cluster.environment, "PATH": path}
        self.cluster = cluster
        self.directory = directory
        self.targets = targets
        self.log = directory / "snakemake.log"

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start it beside the test, as the head of a group of processes."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self.command, *flags, "--", *self.targets],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def jobs(self) -> list[str]:
        """Its data jobs in the queue, those of earlier starts too: id and state."""
        runs = RUN_ID.findall(self.told())
        return self.cluster.jobs(f"--name={','.join(runs)}") if runs else []

    def told(self) -> str:
        """Everything it said so far."""
        return self.log.read_text()


class Run(NamedTuple):
    """A workflow that goes on beside the tests."""

    workflow: Workflow
    process: subprocess.Popen[bytes]


class Interrupted(NamedTuple):
    """A training, its exit code, and the weights of its uninterrupted twin."""

    training: Training
    code: Future[int]
    expected: Future[Path]


def _beside(workflow: Workflow) -> Iterator[Run]:
    run = Run(workflow, workflow.start())
    yield run
    if run.process.poll() is None:  # a test gave up
        os.killpg(run.process.pid, signal.SIGINT)
        run.process.wait()


@pytest.fixture(scope="session")
def whole(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The demo's DAG, crawl to report."""
    folder = tmp_path_factory.mktemp("whole")
    yield from _beside(Workflow(cluster, folder, *TINY, *grouped(), partitions=PARTITIONS))


@pytest.fixture(scope="session")
def failing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Jobs that fail in the ways a cluster makes jobs fail, and two that wait for each other."""
    parts = "parts=[memory-1,time-1,node-1,never-1,astray-1,meets-1,meets-2]"
    folder = tmp_path_factory.mktemp("failing")
    yield from _beside(Workflow(cluster, folder, *DRILLS, "--config", parts, prefix=LATER))


@pytest.fixture(scope="session")
def here(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Future[int]]]:
    """The same DAG without Slurm, crawl to manifest, and its exit code."""
    folder = tmp_path_factory.mktemp("here")
    command = [*LATER, sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local"]
    command += ["--cores", "1", "--directory", str(folder), *TINY, "--", MANIFEST]

    def run() -> int:
        environment = cluster.environment
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True)
        return done.returncode

    with ThreadPoolExecutor() as beside:
        yield folder, beside.submit(run)


@pytest.fixture(scope="session")
def interrupted(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Interrupted]:
    """A training that is stopped again and again, and the same one uninterrupted."""
    training = Training(cluster, tmp_path_factory.mktemp("interrupted"), steps=1000)
    alone = tmp_path_factory.mktemp("uninterrupted")
    with ThreadPoolExecutor() as beside:
        code = beside.submit(training.interrupted)
        yield Interrupted(training, code, beside.submit(training.in_one_process, alone))
