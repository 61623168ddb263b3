"""All of config/demo.yaml through `snakemake --profile slurm` on the tests' cluster.

    make demo demo-slurm     # rows for RECORDS.md; an hour on two cores

Jobs are grouped as the profile groups them. Then every table, model and index is compared with
that of `make demo`, byte by byte; exits with 1 where the manifests differ.
"""

import sys
import time
from collections import Counter
from pathlib import Path

from tests.slurm.cluster import ROOT, slurm
from tests.slurm.conftest import Workflow
from tests.slurm.phases import MANIFEST, PARTITIONS

LOCAL, OUT = ROOT / "runs/demo", ROOT / "runs/demo-slurm"
# Nodes claim more cores than this machine has.
DEMO = ["--configfile", "config/demo.yaml", "--jobs", "4"]
COMPARED = (".parquet", ".safetensors", ".onnx", ".faiss")


def compare(local: Path, other: Path) -> Counter[str]:
    """Print files that are not the same in both runs; counts of each outcome."""
    outcomes: Counter[str] = Counter()
    for path in sorted(p for p in local.rglob("*") if p.suffix in COMPARED):
        name = path.relative_to(local)
        twin = other / name
        same = twin.exists() and twin.read_bytes() == path.read_bytes()
        outcomes["same" if same else "differs" if twin.exists() else "missing"] += 1
        if not same:
            print(f"| {name} | {'differs' if twin.exists() else 'missing'} |")
    return outcomes


def main() -> int:
    """Run it, whole; 0 if the manifest has the same bytes as the local run's."""
    OUT.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with slurm() as cluster:
        workflow = Workflow(cluster, OUT, *DEMO, partitions=PARTITIONS)
        code = workflow.start().wait()
        left = cluster.jobs()
    seconds = time.monotonic() - started
    print(f"| exit code {code}, {len(left)} jobs left in the queue, {seconds / 60:.1f} min |")
    print(f"| {dict(compare(LOCAL / 'results', OUT / 'results'))} |")
    return int(code != 0 or (OUT / MANIFEST).read_bytes() != (LOCAL / MANIFEST).read_bytes())


if __name__ == "__main__":
    sys.exit(main())
