# Everything the rules share; the only Python of the workflow. What can be tested lives in src/sauropod.
import sys

SRC = f"{workflow.basedir}/src"
sys.path.insert(0, SRC)

from sauropod.dag import Dag
from sauropod.errors import InputError
from sauropod.load_config import load

try:
    DAG = Dag(load(config, " + ".join(map(str, workflow.configfiles)) or "config"))
except InputError as error:
    print(f"snakemake: error: {error}", file=sys.stderr)
    sys.exit(2)

KNOBS = DAG.knobs  # stage -> flags that change results: they go to `params` and rerun the stage
SPEED = DAG.speed  # stage -> flags that change only speed: they go to `resources` and rerun nothing


wildcard_constraints:
    shard=DAG.pattern(DAG.shards),
    pool_shard=DAG.pattern(DAG.pool),
    reference_shard=DAG.pattern(DAG.curated + DAG.references),
    link_part=r"\w+-\d{5}",
    run=DAG.pattern(DAG.runs),
    dataset=DAG.pattern(DAG.retrieved),
    model=DAG.pattern(DAG.models),
    benchmark=DAG.pattern(DAG.benchmarks),


onstart:
    DAG.check_sources()


def links_of(wildcards):
    return DAG.links_of(wildcards.pool_shard)


def link_flags(wildcards):
    return DAG.link_flags(wildcards.link_part)


def ingest_flags(wildcards):
    return DAG.ingest_flags(wildcards[0])


def images_of(wildcards):
    return DAG.images_of(wildcards.shard)


def copies_of(wildcards):
    return DAG.copies_of(wildcards.shard)


def queries_of(wildcards):
    return DAG.queries_of(wildcards.dataset)


def searched_of(wildcards):
    return DAG.searched_of(wildcards.dataset)


def retrieve_flags(wildcards):
    return DAG.retrieve_flags(wildcards.dataset)


def manifest_of(wildcards):
    return DAG.manifest_of(wildcards.run)


def run_knobs(wildcards):
    return DAG.run_knobs(wildcards.run)


def backbone_of(wildcards):
    return DAG.backbone_of(wildcards.model)


def evaluate_flags(wildcards):
    return DAG.evaluate_flags(wildcards.model, wildcards.benchmark)


def evaluate_knobs(wildcards):
    return DAG.evaluate_knobs(wildcards.benchmark)
