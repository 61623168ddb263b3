"""Does this cluster fit the profile: what is asked of Slurm, and of one node per partition.

`examine` returns plain findings; the script `doctor.py` prints them, and runs itself on a node of
every partition to collect `facts` there.
"""

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import torch.cuda.nccl
import yaml

from sauropod import slurm
from sauropod.dag import Dag
from sauropod.errors import InputError
from sauropod.plan import plan

PACKAGES = ("torch", "numpy", "polars", "pyarrow", "pillow", "onnxruntime", "safetensors")
CHECKS_PER_JOB_AGE = 3  # the Slurm plugin takes squeue only if jobs stay visible this many checks


@dataclass(frozen=True)
class Finding:
    """One line of the answer."""

    good: bool
    text: str


def facts(paths: Iterable[Path] = ()) -> dict[str, str]:
    """Describe the machine this runs on.

    Args:
        paths: Files and folders that every machine should see.

    Returns:
        Names and values, all text.
    """
    found = {"python": f"{platform.python_version()} {sys.executable}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["gpus"] = str(torch.cuda.device_count())
    found["given gpus"] = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    has_nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
    found["nccl"] = ".".join(map(str, torch.cuda.nccl.version())) if has_nccl else "none"
    found["unseen"] = ", ".join(str(path) for path in paths if not path.exists())
    return found


def given(config: Iterable[Path]) -> list[Path]:
    """Datasets and weights that a configuration names, as absolute paths; none without one."""
    files = list(config)
    return [Path(path).absolute() for path in Dag(plan.read(files)).given()] if files else []


def not_here(paths: Iterable[Path]) -> list[Finding]:
    """One finding per path that is missing, or one that says none is."""
    paths = list(paths)
    missing = [Finding(False, f"{path}: nothing there") for path in paths if not path.exists()]
    every = [Finding(True, f"{len(paths)} datasets and weights are there")] if paths else []
    return missing or every


def partitions_of(profile: Path) -> dict[str, bool]:
    """Read which partitions a profile asks for, and whether for jobs with a GPU.

    Raises:
        InputError: The profile does not name a partition for its jobs.
    """
    read = yaml.safe_load(profile.read_text())
    default = read.get("default-resources", {}).get("slurm_partition")
    if default is None:
        raise InputError(
            profile,
            expected="default-resources: slurm_partition",
            found="none",
            fix="name a partition that `sinfo` lists",
        )
    of_rules = [rule.get("slurm_partition") for rule in read.get("set-resources", {}).values()]
    return {default: False} | {name: True for name in of_rules if name not in (None, default)}


def of_slurm(profile: Path) -> list[Finding]:
    """Check what Slurm itself says against the profile."""
    missing = [name for name in ("sinfo", "squeue", "sbatch", "scancel") if not shutil.which(name)]
    if missing:
        return [Finding(False, f"Slurm: no {', '.join(missing)} on this machine's PATH")]
    told = slurm.ask("sinfo", "--version").strip()
    lines = slurm.ask("scontrol", "show", "config").splitlines()
    config = {
        key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)
    }
    if not config:
        return [Finding(False, f"Slurm: {told}, but slurmctld does not answer (scontrol ping)")]
    found = [Finding(True, f"Slurm: {told}, cluster {config.get('ClusterName')}")]
    found += [_partition(name, gpu) for name, gpu in partitions_of(profile).items()]
    every = yaml.safe_load(profile.read_text()).get("slurm-init-seconds-before-status-checks", 40)
    age = int(config.get("MinJobAge", "0 sec").split()[0])
    needed = CHECKS_PER_JOB_AGE * every
    found.append(
        Finding(
            age >= needed,
            f"squeue shows an ended job for {age} s (MinJobAge), {needed} s are needed",
        )
    )
    kind = config.get("AccountingStorageType", "")
    has_accounts = kind.endswith("slurmdbd")
    return [
        *found,
        Finding(True, f"accounting: {'slurmdbd' if has_accounts else 'none, not needed'}"),
    ]


def _partition(name: str, gpu: bool) -> Finding:
    rows = slurm.ask("sinfo", "--noheader", f"--partition={name}", "--format=%D %T %G %l").split(
        "\n"
    )
    rows = [row for row in rows if row]
    if not rows:
        listed = ", ".join(sorted(set(slurm.ask("sinfo", "--noheader", "--format=%R").split())))
        return Finding(False, f"partition {name}: not on this cluster, which has {listed}")
    told = f"partition {name}: nodes, state, GPUs, time limit: {'; '.join(rows)}"
    if gpu and not any("gpu" in row.split()[2] for row in rows):
        return Finding(False, f"{told}: no GPU, but rules with one are sent there")
    return Finding(True, told)


def compare(
    head: Mapping[str, str], node: Mapping[str, str], *, where: str, gpu: bool
) -> list[Finding]:
    """Say what differs between this machine and a node.

    Args:
        head: `facts` here.
        node: `facts` there.
        where: The node and its partition.
        gpu: Whether rules with a GPU are sent there.

    Returns:
        One finding that says all is the same, or one per difference.
    """
    same = ("python", *PACKAGES)
    found = [
        Finding(False, f"{where}: {name} is {node.get(name)}, here it is {head[name]}")
        for name in same
        if node.get(name) != head[name]
    ]
    if node["unseen"]:
        found.append(Finding(False, f"{where}: does not see {node['unseen']}"))
    if gpu:
        told = f"{where}: torch sees {node['gpus']} GPU, NCCL {node['nccl']}"
        found.append(Finding(node["gpus"] != "0" and node["nccl"] != "none", told))
    return found or [Finding(True, f"{where}: python and {len(PACKAGES)} packages as here")]


def on_node(partition: str, script: Path, *, gpu: bool, paths: Iterable[Path]) -> list[Finding]:
    """Run the doctor on one node of a partition, and compare.

    Args:
        partition: Whose node.
        script: The doctor's, which describes the node.
        gpu: Whether rules with a GPU are sent there.
        paths: Files and folders that are here.
    """
    asked = [
        "srun",
        f"--partition={partition}",
        "--nodes=1",
        "--ntasks=1",
        "--time=5",
        "--mem=4000",
    ]
    asked += ["--gpus=1"] if gpu else []
    told = slurm.ask(
        *asked, sys.executable, str(script), "--there", "True", "--paths", *map(str, paths)
    )
    if not told.strip():
        why = f"a job did not run: try {' '.join(asked)} true"
        return [Finding(False, f"partition {partition}: {why}")]
    node = json.loads(told.splitlines()[-1])
    where = f"{node['host']} of partition {partition}"
    return compare(facts(), node, where=where, gpu=gpu)


def told(findings: Iterable[Finding]) -> str:
    """One line per finding."""
    return "".join(f"{'ok  ' if one.good else 'BAD '} {one.text}\n" for one in findings)
