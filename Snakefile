# Table of contents: configuration, one file of rules per phase, the targets.
#   snakemake -n --profile slurm                                    plan the paper's run on a cluster
#   snakemake --profile slurm                                       run it
#   snakemake --profile slurm --configfile config/presets/dinov2_l14.yaml   another training recipe
#   snakemake --profile slurm --until embed                         no further than a stage
#   snakemake --profile slurm --configfile config/ablations.yaml -- ablations       the paper's studies
#   snakemake --profile workflow/profiles/local --configfile config/demo.yaml --directory runs/demo
from snakemake.utils import min_version

min_version("9.0")


configfile: workflow.source_path("config/lvd142m.yaml")


report: "workflow/report/workflow.rst"


include: "workflow/common.smk"
include: "rules/ingest.smk"
include: "rules/dedup.smk"
include: "rules/retrieve.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/dense.smk"


if PLAN.world:

    include: "rules/demo.smk"


rule all:
    input:
        "results/report/report.html",
        "results/evaluate/metrics.parquet",
        PLAN.manifest,
        list(PLAN.distilled.values()),
