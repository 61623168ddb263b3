# Measure every model on the dense benchmarks: heads trained on frozen patch tokens.


rule evaluate_segmentation:
    input:
        backbone=by(PLAN.evaluation.backbone_of, "model"),
        world=PLAN.world,
    output:
        metrics="results/evaluate/{model}.{benchmark}.parquet",
        head="results/evaluate/{model}.{benchmark}.head.safetensors",
    log:
        "logs/evaluate_segmentation/{model}.{benchmark}.log",
    benchmark:
        "benchmarks/evaluate_segmentation/{model}.{benchmark}.tsv"
    wildcard_constraints:
        benchmark=PLAN.pattern(PLAN.evaluation.of_kind("segmentation")),
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(1440),
        speed=SPEED.get("evaluate_segmentation", ""),
        src=SRC,
    params:
        what=by(PLAN.evaluation.flags, "model", "benchmark"),
        knobs=by(PLAN.evaluation.knobs, "benchmark"),
    shell:
        "python {resources.src}/evaluate_segmentation.py {params.what} --head {output.head}"
        " --out {output.metrics} {params.knobs} {resources.speed} 2> {log}"


rule evaluate_depth:
    input:
        backbone=by(PLAN.evaluation.backbone_of, "model"),
        world=PLAN.world,
    output:
        metrics="results/evaluate/{model}.{benchmark}.parquet",
        head="results/evaluate/{model}.{benchmark}.head.safetensors",
    log:
        "logs/evaluate_depth/{model}.{benchmark}.log",
    benchmark:
        "benchmarks/evaluate_depth/{model}.{benchmark}.tsv"
    wildcard_constraints:
        benchmark=PLAN.pattern(PLAN.evaluation.of_kind("depth")),
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(1440),
        speed=SPEED.get("evaluate_depth", ""),
        src=SRC,
    params:
        what=by(PLAN.evaluation.flags, "model", "benchmark"),
        knobs=by(PLAN.evaluation.knobs, "benchmark"),
    shell:
        "python {resources.src}/evaluate_depth.py {params.what} --head {output.head}"
        " --out {output.metrics} {params.knobs} {resources.speed} 2> {log}"
