"""One cluster for all tests of a session, and `snakemake --profile slurm` on it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.slurm.cluster import Cluster, slurm

ROOT = Path(__file__).parents[2]
# Quick reactions; on a cluster that is not a test's own the profile's patience is right.
QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"]
TINY = ["--configfile", "config/demo.yaml", "tests/slurm/tiny.yaml"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two CPU nodes, and two with two fake GPUs each."""
    with slurm() as running:
        yield running


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(cluster: Cluster) -> Iterator[None]:
    yield
    left = cluster.jobs()
    cluster.cancel_all()
    assert left == [], "jobs were left in the queue"


SMALL = "--launcher slurm --partition gpu --nodes 1 --gpus-per-node 0 --poll-s 2"


def on_fake_gpus() -> list[str]:
    """The profile's own resources, but on the CPU of the nodes: a fake GPU computes nothing."""
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    asked = [
        f"{rule}:{key}={SMALL if key == 'launch' else value}"
        for rule, resources in profile["set-resources"].items()
        for key, value in resources.items()
        if key != "speed"
    ]
    return ["--set-resources", *asked]


class Workflow:
    """`snakemake --profile slurm` from the root of the repository, with a run's own directory."""

    def __init__(self, cluster: Cluster, directory: Path, *flags: str) -> None:
        """Say what to run; nothing starts yet."""
        self.command = [sys.executable, "-m", "snakemake", "--profile", "slurm", *QUICK]
        self.command += ["--directory", str(directory), *flags, *on_fake_gpus()]
        bin_of = Path(sys.executable).parent
        self.environment = {
            **cluster.environment,
            "PATH": f"{bin_of}:{cluster.environment['PATH']}",
        }
        self.log = directory / "snakemake.log"

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start it beside the test."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self.command, *flags], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def run(self, *flags: str) -> int:
        """Run it to its end; return the exit code."""
        return self.start(*flags).wait()

    def told(self) -> str:
        """Everything it said so far."""
        return self.log.read_text()


@pytest.fixture
def workflow(cluster: Cluster, tmp_path: Path) -> Workflow:
    """The project's own DAG on the smallest demo world."""
    return Workflow(cluster, tmp_path, *TINY)


def run_here(directory: Path, *flags: str) -> int:
    """Run the same DAG without Slurm; return the exit code."""
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local"]
    command += ["--directory", str(directory), *TINY, *flags]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the world is rendered, and nothing else has run."""
    folder = tmp_path_factory.mktemp("world")
    assert run_here(folder, "--cores", "2", "--", "world/truth.parquet") == 0
    return folder
