# Measure every model on every benchmark, and tell the whole story in one HTML file.


rule evaluate:
    input:
        backbone=backbone_of,
        world=DAG.world,
    output:
        "results/evaluate/{model}.{benchmark}.parquet",
    log:
        "logs/evaluate/{model}.{benchmark}.log",
    benchmark:
        "benchmarks/evaluate/{model}.{benchmark}.tsv"
    conda:
        "../envs/gpu.yaml"
    params:
        what=evaluate_flags,
        knobs=evaluate_knobs,
    resources:
        gpu=1,
        mem_mb=32_000,
        runtime=480,
        speed=SPEED.get("evaluate", ""),
        src=SRC,
    shell:
        "python {resources.src}/evaluate.py {params.what} --out {output} {params.knobs} {resources.speed} 2> {log}"
