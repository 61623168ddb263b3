"""All of config/demo.yaml through `snakemake --profile slurm` on the tests' cluster.

    make demo demo-slurm     # rows for RECORDS.md; an hour on two cores

Jobs are grouped as the profile groups them. Then every table, model and index is compared with
that of `make demo`; exits with 1 where one of them differs.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
from tests.slurm.cluster import ROOT, slurm
from tests.slurm.conftest import Workflow
from tests.slurm.phases import PARTITIONS

LOCAL, OUT = ROOT / "runs/demo", ROOT / "runs/demo-slurm"
# Nodes claim more cores than this machine has.
DEMO = ["--configfile", "config/demo.yaml", "--jobs", "4"]
KINDS = (".parquet", ".safetensors", ".onnx", ".faiss")
TIMES = {"seconds", "seconds_per_step", "images_per_s", "wait_share"}
TIMES |= {"peak_memory_gib", "fetched_at"}
"""Columns of tables that no two runs have in common."""


def compare(local: Path, other: Path) -> Counter[str]:
    """Print results that are not in both runs with the same bytes, tables but for their times."""
    outcomes: Counter[str] = Counter()
    for path in sorted(p for p in local.rglob("*") if p.suffix in KINDS):
        found = _outcome(path, other / path.relative_to(local))
        outcomes[found] += 1
        if found in ("differs", "missing"):
            print(f"| {path.relative_to(local)} | {found} |")
    return outcomes


def _outcome(path: Path, twin: Path) -> str:
    if not twin.exists():
        return "missing"
    if twin.read_bytes() == path.read_bytes():
        return "same"
    if path.suffix == ".parquet":
        mine, theirs = (pl.read_parquet(one).drop(TIMES, strict=False) for one in (path, twin))
        if mine.equals(theirs):
            return "same but for times"
    return "differs"


def main() -> int:
    """Run it, whole; 0 if it has the local run's results."""
    OUT.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with slurm() as cluster:
        workflow = Workflow(cluster, OUT, *DEMO, partitions=PARTITIONS)
        code = workflow.start().wait()
        left = cluster.jobs()
    seconds = time.monotonic() - started
    print(f"| exit code {code}, {len(left)} jobs left in the queue, {seconds / 60:.1f} min |")
    outcomes = compare(LOCAL / "results", OUT / "results")
    print(f"| {dict(outcomes)} |")
    return int(code != 0 or bool(outcomes["differs"] + outcomes["missing"]))


if __name__ == "__main__":
    sys.exit(main())
