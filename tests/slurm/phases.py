"""The demo's DAG in few Slurm jobs: the data jobs of a phase go into one."""

MANIFEST = "results/manifest/lvd.parquet"
_DATA = "links links_summary ingest_pool ingest_reference curated_manifest"
_DEDUP = "describe fit_hash hash group_hashes link_train link_index link link_merge"
_RETRIEVE = "embed index_train index cluster_sample cluster assign retrieve"
PHASES = {
    "sources": ("cpu", f"world detectors {_DATA}"),
    "screen": ("gpu", "screen"),
    "dedup": ("gpu", f"{_DEDUP} dedup"),
    "retrieve": ("gpu", _RETRIEVE),
    "evaluate": ("gpu", "extract evaluate visualise"),
    "report": ("cpu", "truth collect report"),
}
PARTITIONS = {rule: partition for partition, rules in PHASES.values() for rule in rules.split()}
PARTS = {"evaluate": 3}


def grouped() -> list[str]:
    """Flags that put every phase into one Slurm job, but for the last, which has several."""
    phases = {rule: phase for phase, (_, rules) in PHASES.items() for rule in rules.split()}
    groups = [f"{rule}={phase}" for rule, phase in phases.items()]
    sizes = [f"{phase}={PARTS.get(phase, 100)}" for phase in PHASES]
    return ["--groups", *groups, "--group-components", *sizes]
