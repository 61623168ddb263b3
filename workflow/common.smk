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

KNOBS = (
    DAG.knobs
)  # stage -> flags that change results: they go to `params` and rerun the stage
SPEED = (
    DAG.speed
)  # stage -> flags that change only speed: they go to `resources` and rerun nothing
SERVING = f"python {SRC}/serve.py --site world/site --" if DAG.world else ""


wildcard_constraints:
    shard=DAG.pattern(DAG.shards),
    pool_shard=DAG.pattern(DAG.pool),
    reference_shard=DAG.pattern(DAG.packed(DAG.curated + DAG.references)),
    tars_shard=DAG.pattern(DAG.tars),
    link_part=r"\w+-\d{5}",
    run=DAG.pattern(DAG.runs),
    dataset=DAG.pattern(DAG.retrieved),
    model=DAG.pattern(DAG.models),
    benchmark=DAG.pattern(DAG.benchmarks),


onstart:
    try:
        DAG.check_sources()
    except InputError as error:
        sys.exit(f"snakemake: error: {error}")


def by(method, *names):
    """Make an input or params function that asks the DAG with these wildcards."""

    def ask(wildcards):
        return method(*(getattr(wildcards, name) for name in names))

    return ask
