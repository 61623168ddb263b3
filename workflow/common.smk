# Everything the rules share; the only Python of the workflow. What can be tested lives in src/sauropod.
import os
import sys
from pathlib import Path

SRC = f"{workflow.basedir}/src"
sys.path.insert(0, SRC)

from sauropod.dag import Dag, by, more, same, spelt
from sauropod.errors import InputError
from sauropod.load_config import load
from sauropod.slurm import cancel_leftovers

try:
    PLAN = Dag(
        load(
            config, " + ".join(os.path.basename(path) for path in workflow.configfiles)
        )
    )
except InputError as error:
    print(f"snakemake: error: {error}", file=sys.stderr)
    sys.exit(2)

# KNOBS (stage -> flags that change results) go to `params` and rerun the stage; SPEED (flags that
# change only speed) go to `resources` and rerun nothing.
KNOBS = PLAN.knobs
SPEED = PLAN.speed
SERVING = f"python {SRC}/serve.py --site world/site --" if PLAN.world else ""


wildcard_constraints:
    shard=PLAN.shard_pattern(PLAN.shards),
    pool_shard=PLAN.shard_pattern(PLAN.pool),
    reference_shard=PLAN.shard_pattern(PLAN.curated + PLAN.references),
    link_part=r"\w+-\d{5}",
    query_block=PLAN.shard_pattern(PLAN.query_blocks),
    link_block=PLAN.shard_pattern(PLAN.link_blocks),
    index_block=PLAN.shard_pattern(PLAN.index_blocks),
    source=r"\w+",
    run=PLAN.pattern(PLAN.runs),
    dataset=PLAN.pattern(PLAN.retrieved),
    model=PLAN.pattern(PLAN.evaluation.models),
    benchmark=PLAN.pattern(PLAN.evaluation.benchmarks),


onstart:
    if left := cancel_leftovers(Path(".snakemake", "log")):
        print(f"{left} jobs of a killed run cancelled", file=sys.stderr, flush=True)
    try:
        PLAN.check_sources()
    except InputError as error:
        print(f"snakemake: error: {error}", file=sys.stderr, flush=True)
        workflow.persistence.unlock()
        os._exit(2)  # Snakemake would turn an exception here into exit code 1


onerror:
    # At Ctrl-C Snakemake forgets the jobs whose states it is just asking for.
    cancel_leftovers(Path(".snakemake", "log"))
