"""The Slurm profile fits the rules: GPUs are asked for where they are, jobs are not too many."""

import math
import re
from pathlib import Path

import yaml

from sauropod.dag import Dag
from sauropod.load_config import load

ROOT = Path(__file__).parents[2]
PROFILE = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text())
RULE = re.compile(r"^\s*(?:use )?rule (\w+)(?: as (\w+) with)?:$", re.MULTILINE)


def rules_with_a_gpu() -> set[str]:
    """Names of rules that ask for a GPU, also through the rule they take after."""
    found = set()
    for file in (ROOT / "rules").glob("*.smk"):
        _, *parts = RULE.split(file.read_text())
        for name, alias, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            if re.search(r"^\s+gpu=", body, re.MULTILINE) or (alias and name in found):
                found.add(alias or name)
    return found


def test_rules_with_a_gpu_go_where_gpus_are() -> None:
    asked = PROFILE["set-resources"]
    # Trainings are local rules: the job that they submit has the GPUs.
    submitted = {rule for rule, how in asked.items() if "--partition gpu" in how.get("launch", "")}
    sent = {rule for rule, how in asked.items() if how.get("slurm_partition") == "gpu"} | submitted
    assert rules_with_a_gpu() == sent


def test_what_a_profile_must_have() -> None:
    assert PROFILE["slurm-status-command"] == "squeue", "sacct waits for ever on a cancelled job"
    assert PROFILE["default-resources"]["nodes"] == 1, "two GPUs of one job may be on two nodes"
    assert set(PROFILE["groups"].values()) == set(PROFILE["group-components"])


def test_jobs_of_a_group_take_turns_for_a_day_at_most() -> None:
    assert PROFILE["default-resources"]["turn"] == PROFILE["resources"]["turn"] == 1
    assert PROFILE["set-resource-scopes"] == {"turn": "local"}
    for rule, group in PROFILE["groups"].items():
        asked = minutes_of(rule) * PROFILE["group-components"][group]
        assert asked <= 24 * 60, rule


def test_trainings_take_no_turns() -> None:
    """Snakemake counts a local rule's for the whole run, though the scope is a job's."""
    watched = [how for how in PROFILE["set-resources"].values() if "launch" in how]
    assert [how["turn"] for how in watched] == [0] * 4


def minutes_of(rule: str) -> int:
    """Time that the first attempt of a rule's job asks for."""
    text = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    found = re.search(
        rf"^rule {rule}:(?:\n(?!rule ).*)*?\n +runtime=more\((\d+)\)", text, re.MULTILINE
    )
    assert found, rule
    return int(found[1])


def test_the_papers_run_is_thousands_of_jobs() -> None:
    total = 0
    for rule, jobs in jobs_of_the_paper().items():
        together = PROFILE["group-components"].get(PROFILE["groups"].get(rule), 1)
        total += math.ceil(jobs / together)
    assert 2_000 < total < 10_000


def jobs_of_the_paper() -> dict[str, int]:
    """Jobs of every rule that has more than a few; `snakemake -n` counts the same, in minutes."""
    dag = Dag(load(yaml.safe_load((ROOT / "config" / "lvd142m.yaml").read_text()), "lvd142m.yaml"))
    described = dag.pool + dag.curated + dag.references
    return {
        "links": len(dag.links),
        "ingest_pool": len(dag.pool),
        "ingest_reference": len(dag.curated + dag.references),
        "screen": len(dag.pool),
        "describe": len(described),
        "hash": len(dag.link_blocks),
        "link_index": len(dag.link_blocks),
        "link": len(dag.link_blocks) * len(dag.query_blocks),
        "link_merge": len(dag.query_blocks),
        "embed": len(dag.pool + dag.curated),
        "index": len(dag.index_blocks),
        "assign": len(dag.index_blocks),
        "retrieve": len(dag.retrieved),
    }
