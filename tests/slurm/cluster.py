"""A real Slurm on loopback: munged, slurmctld, two CPU nodes and two nodes with two fake GPUs each.

    python tests/slurm/cluster.py     starts one, says its nodes, and stops it at Ctrl-C

Needs root and Debian's slurmctld, slurmd, slurm-client and munge; no systemd, no cgroups, no GPU.
All files are in a temporary folder, but for links in /etc/slurm: the step inside a Snakemake job
looks for its configuration nowhere else.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

NODES = ("cpu1", "cpu2", "gpu1", "gpu2")
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ETC = Path("/etc/slurm")
HOSTS = Path("/etc/hosts")
PACKAGES = "slurmctld slurmd slurm-client munge"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo")
PATIENCE = 120.0  # seconds; nothing takes more than a few on an idle machine


@dataclass
class Cluster:
    """A running cluster; `run` calls a Slurm command in it."""

    folder: Path
    environment: dict[str, str]
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        """Start one daemon in the foreground; it ends with this process, however this one ends."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_node(self, node: str) -> None:
        """Start (again) the slurmd of one node."""
        (self.folder / "spool" / node).mkdir(parents=True, exist_ok=True)
        self.start(node, "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """Crash one node: its slurmd, its steps and all that they run die at once."""
        for process in [psutil.Process(self.daemons[node].pid), *self._steps(node)]:
            for part in [process, *process.children(recursive=True)]:
                _kill(part)
        self.daemons.pop(node).wait()

    def _steps(self, node: str) -> list[psutil.Process]:
        """What a slurmd started and let go: each step listens in the spool of its node."""
        at = f"{self.folder}/spool/{node}/"
        sockets = psutil.net_connections("unix")
        pids = {one.pid for one in sockets if one.pid and str(one.laddr).startswith(at)}
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def run(self, *command: str) -> str:
        """Call a Slurm command; return what it says."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def jobs(self, *flags: str) -> list[str]:
        """Jobs in the queue that have not ended: id and state."""
        waiting = ["squeue", "--noheader", "--states=PD,R,S", "--format=%i %T"]
        return self.run(*waiting, *flags).splitlines()

    def answers(self) -> bool:
        """slurmctld takes questions; it says why when it cannot."""
        dead = self.daemons["slurmctld"].poll() is not None
        assert not dead, (self.folder / "slurmctld.log").read_text()
        ping = subprocess.run(["scontrol", "ping"], env=self.environment, capture_output=True)
        return ping.returncode == 0

    def is_up(self) -> bool:
        """Every node is ready for jobs."""
        states = self.run("sinfo", "--noheader", "--Node", "--format=%N %t").split("\n")
        return len({s for s in states if s.endswith((" idle", " mix", " alloc"))}) == len(NODES)

    def cancel_all(self) -> None:
        """End every job and wait until it is gone."""
        self.run("scancel", "--full", f"--user={os.getuid()}")
        until(lambda: not self.jobs(), "the jobs to end")

    def stop(self) -> None:
        """End every job, then the daemons; nothing is left running."""
        if self.daemons["slurmctld"].poll() is None:
            self.cancel_all()
        for name in reversed(list(self.daemons)):
            self.daemons[name].terminate()
            self.daemons[name].wait(PATIENCE)
        for left in [step for node in NODES for step in self._steps(node)]:
            _kill(left)


def _kill(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return


def until(happened: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait for an event; give up only when something is broken."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)


def _free_ports(count: int) -> int:
    """First of `count` neighbouring ports that nobody listens on."""
    for first in range(17800, 30000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for i, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + i))
        except OSError:
            continue
        else:
            return first
        finally:
            for one in sockets:
                one.close()
    raise AssertionError("no free ports")


@contextmanager
def _in_etc(folder: Path) -> Iterator[None]:
    """Link the configuration to where an inner step finds it; nodes' names resolve meanwhile."""
    assert not ETC.joinpath("slurm.conf").exists(), f"{ETC}/slurm.conf: a Slurm is configured here"
    hosts = HOSTS.read_text()
    made = not ETC.exists()
    ETC.mkdir(exist_ok=True)
    links = [ETC / name for name in ("slurm.conf", "gres.conf")]
    try:
        for link in links:
            link.unlink(missing_ok=True)  # of a cluster that was killed: it points nowhere
            link.symlink_to(folder / link.name)
        # May be a bind mount: written in place.
        HOSTS.write_text(hosts + f"127.0.0.1 {' '.join(NODES)}\n")
        yield
    finally:
        HOSTS.write_text(hosts)
        for link in links:
            link.unlink(missing_ok=True)
        if made:
            ETC.rmdir()


@contextmanager
def slurm(*, max_jobs: int = 1000) -> Iterator[Cluster]:
    """Run a cluster for as long as the block lasts."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    assert not missing, f"{missing} not found: apt-get install {PACKAGES}"
    # Sockets of steps are in there, and their names may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as name:
        folder, first = Path(name), _free_ports(6)
        host = socket.gethostname().split(".")[0]
        for part in ("state", "spool"):
            (folder / part).mkdir()
        values = {"folder": folder, "host": host, "port": first, "slurmd_port": first + 1}
        text = (HERE / "slurm.conf").read_text()
        text = text.format(**values, ports=range(first + 2, first + 6), max_jobs=max_jobs)
        (folder / "slurm.conf").write_text(text)
        shutil.copy(HERE / "gres.conf", folder)
        (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
        (folder / "munge.key").chmod(0o600)
        folder.chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
        kept |= {"PATH": path, "PYTHONPATH": str(HERE / "sparing")}
        cluster = Cluster(folder, {**kept, "SLURM_CONF": f"{folder}/slurm.conf"})
        with _in_etc(folder):
            try:
                _bring_up(cluster)
                yield cluster
            finally:
                cluster.stop()


def _bring_up(cluster: Cluster) -> None:
    at = cluster.folder
    munge_files = [f"--{name}-file={at}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    cluster.start("munged", "munged", "--foreground", f"--socket={at}/munge.socket", *munge_files)
    until(lambda: (at / "munge.socket").exists(), "munged")
    cluster.start("slurmctld", "slurmctld", "-D")
    for node in NODES:
        cluster.start_node(node)
    until(cluster.answers, "slurmctld")
    until(cluster.is_up, "the nodes")


if __name__ == "__main__":
    with slurm() as running:
        print(running.run("sinfo"), f"export SLURM_CONF={running.folder}/slurm.conf", flush=True)
        signal.pause()
