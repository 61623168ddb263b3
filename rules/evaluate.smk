# Measure every model on every benchmark, and tell the whole story in one HTML file.


METRICS = PLAN.evaluation.metrics
# Priority of what only the report waits for: trainings and their data go first.
LAST = -1


rule extract:
    input:
        backbone=by(PLAN.evaluation.backbone_of, "model"),
        world=PLAN.world,
    output:
        "results/extract/{model}.{benchmark}.safetensors",
    log:
        "logs/extract/{model}.{benchmark}.log",
    benchmark:
        "benchmarks/extract/{model}.{benchmark}.tsv"
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(32_000),
        runtime=more(480),
        speed=SPEED.get("extract", ""),
        src=SRC,
    params:
        what=by(PLAN.evaluation.extract_flags, "model", "benchmark"),
        knobs=by(PLAN.evaluation.extract_knobs, "benchmark"),
    shell:
        "python {resources.src}/extract.py {params.what} --out {output} {params.knobs} {resources.speed} 2> {log}"


rule evaluate:
    input:
        "results/extract/{model}.{benchmark}.safetensors",
    output:
        metrics="results/evaluate/{model}.{benchmark}.parquet",
    log:
        "logs/evaluate/{model}.{benchmark}.log",
    benchmark:
        "benchmarks/evaluate/{model}.{benchmark}.tsv"
    wildcard_constraints:
        benchmark=PLAN.pattern(PLAN.evaluation.without_head),
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(480),
        speed=SPEED.get("evaluate", ""),
        src=SRC,
    params:
        what=by(PLAN.evaluation.flags, "model", "benchmark"),
        knobs=by(PLAN.evaluation.knobs, "benchmark"),
    shell:
        "python {resources.src}/evaluate.py {params.what} --features {input}"
        " --out {output.metrics} {params.knobs} {resources.speed} 2> {log}"


use rule evaluate as evaluate_with_head with:
    output:
        metrics="results/evaluate/{model}.{benchmark}.parquet",
        head="results/evaluate/{model}.{benchmark}.head.safetensors",
    wildcard_constraints:
        benchmark=PLAN.pattern(PLAN.evaluation.with_head),


rule evaluate_finetune:
    input:
        backbone=by(PLAN.evaluation.backbone_of, "model"),
        world=PLAN.world,
    output:
        "results/evaluate/{model}.{benchmark}.parquet",
    log:
        "logs/evaluate/{model}.{benchmark}.log",
    benchmark:
        "benchmarks/evaluate/{model}.{benchmark}.tsv"
    wildcard_constraints:
        benchmark=PLAN.pattern(PLAN.evaluation.of_kind("finetune")),
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(2880),
        speed=SPEED.get("evaluate_finetune", ""),
        src=SRC,
    params:
        what=by(PLAN.evaluation.flags, "model", "benchmark"),
        knobs=by(PLAN.evaluation.knobs, "benchmark"),
    shell:
        "python {resources.src}/evaluate_finetune.py {params.what} --out {output} {params.knobs} {resources.speed} 2> {log}"


rule evaluate_robustness:
    input:
        features="results/extract/{model}.{benchmark}.safetensors",
        head=by(PLAN.evaluation.head_of, "model", "benchmark"),
    output:
        "results/evaluate/{model}.{benchmark}.parquet",
    log:
        "logs/evaluate/{model}.{benchmark}.log",
    wildcard_constraints:
        benchmark=PLAN.pattern(PLAN.evaluation.of_kind("robustness")),
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        mem_mb=more(16_000),
        runtime=more(120),
        src=SRC,
    params:
        what=by(PLAN.evaluation.flags, "model", "benchmark"),
        knobs=by(PLAN.evaluation.knobs, "benchmark"),
    shell:
        "python {resources.src}/evaluate_robustness.py {params.what} --features {input.features}"
        " --head {input.head} --out {output} {params.knobs} 2> {log}"


rule evaluate_instance:
    input:
        backbone=by(PLAN.evaluation.backbone_of, "model"),
        world=PLAN.world,
    output:
        "results/evaluate/{model}.{benchmark}.parquet",
    log:
        "logs/evaluate/{model}.{benchmark}.log",
    benchmark:
        "benchmarks/evaluate/{model}.{benchmark}.tsv"
    wildcard_constraints:
        benchmark=PLAN.pattern(PLAN.evaluation.of_kind("instance")),
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(32_000),
        runtime=more(480),
        speed=SPEED.get("evaluate_instance", ""),
        src=SRC,
    params:
        what=by(PLAN.evaluation.flags, "model", "benchmark"),
        knobs=by(PLAN.evaluation.knobs, "benchmark"),
    shell:
        "python {resources.src}/evaluate_instance.py {params.what} --out {output} {params.knobs} {resources.speed} 2> {log}"


rule visualise:
    input:
        backbone=by(PLAN.evaluation.backbone_of, "model"),
        world=PLAN.world,
    output:
        pca="results/visualise/{model}.pca.png",
        matches="results/visualise/{model}.matches.png",
        attention="results/visualise/{model}.attention.png",
    log:
        "logs/visualise/{model}.log",
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(16_000),
        runtime=more(60),
        speed=SPEED.get("visualise", ""),
        src=SRC,
    params:
        knobs=KNOBS["visualise"],
    shell:
        "python {resources.src}/visualise.py --backbone {input.backbone} --pca {output.pca} --matches {output.matches}"
        " --attention {output.attention} {params.knobs} {resources.speed} 2> {log}"


rule overlay:
    input:
        backbone=by(PLAN.evaluation.backbone_of, "model"),
        segmentation=by(PLAN.evaluation.segmentation_heads, "model"),
        depth=by(PLAN.evaluation.depth_heads, "model"),
        world=PLAN.world,
    output:
        "results/visualise/{model}.overlays.png",
    log:
        "logs/overlay/{model}.log",
    priority: LAST
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(16_000),
        runtime=more(60),
        speed=SPEED.get("visualise", ""),
        src=SRC,
    params:
        knobs=KNOBS["visualise"],
    shell:
        "python {resources.src}/overlay.py --backbone {input.backbone} --segmentation-heads {input.segmentation}"
        " --depth-heads {input.depth} --out {output} {params.knobs} {resources.speed} 2> {log}"


rule ablations:
    input:
        PLAN.evaluation.compared,
    output:
        table="results/ablations/table.md",
        figures=PLAN.evaluation.figures,
    log:
        "logs/ablations/ablations.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(4_000),
        runtime=more(30),
        src=SRC,
    params:
        studies=same(PLAN.evaluation.studies),
    shell:
        "python {resources.src}/ablations.py --metrics {input} --studies {params.studies} --table {output.table}"
        " --figures {output.figures} > {log} 2>&1"


rule truth:
    input:
        metrics=METRICS,
        truth=PLAN.world,
        ingested=expand("results/ingest/{pool_shard}.parquet", pool_shard=PLAN.pool),
        links=PLAN.links,
        images=expand("results/screen/{pool_shard}.parquet", pool_shard=PLAN.pool),
        screened=expand(
            "results/screen/{pool_shard}.screened.parquet", pool_shard=PLAN.pool
        ),
        duplicates="results/hash/duplicates.parquet",
        copies="results/dedup/copies.parquet",
        manifest=PLAN.manifest,
    output:
        "results/truth/truth.parquet",
    log:
        "logs/truth/truth.log",
    benchmark:
        "benchmarks/truth/truth.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(8_000),
        runtime=more(60),
        src=SRC,
    params:
        ingested=PLAN.series("results/ingest/{}.parquet", PLAN.pool),
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        screened=PLAN.series("results/screen/{}.screened.parquet", PLAN.pool),
        links=PLAN.series("{}", PLAN.links),
        truth=PLAN.truth_flags,
        claims=PLAN.claims,
    shell:
        "python {resources.src}/truth.py --metrics {input.metrics} --claims {params.claims} {params.truth}"
        " --ingested {params.ingested} --links {params.links} --images {params.images} --screened {params.screened}"
        " --duplicates {input.duplicates} --copies {input.copies} --manifest {input.manifest} --out {output} 2> {log}"


rule collect:
    input:
        metrics=METRICS,
        truth="results/truth/truth.parquet",
    output:
        "results/evaluate/metrics.parquet",
    log:
        "logs/evaluate/collect.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(4_000),
        runtime=more(30),
        src=SRC,
    shell:
        "python {resources.src}/collect.py --metrics {input} --out {output} > {log} 2>&1"


rule report:
    input:
        summaries=PLAN.summaries,
        images=expand("results/screen/{pool_shard}.parquet", pool_shard=PLAN.pool),
        references=expand(
            "results/ingest/{shard}.parquet", shard=PLAN.curated + PLAN.references
        ),
        ingested=expand("results/ingest/{pool_shard}.parquet", pool_shard=PLAN.pool),
        screened=expand(
            "results/screen/{pool_shard}.screened.parquet", pool_shard=PLAN.pool
        ),
        duplicates="results/hash/duplicates.parquet",
        copies="results/dedup/copies.parquet",
        neighbours=expand("results/retrieve/{dataset}.parquet", dataset=PLAN.retrieved),
        manifest=PLAN.manifest,
        metrics="results/evaluate/metrics.parquet",
        plates=PLAN.evaluation.plates,
        logs=PLAN.training_logs,
        weights=PLAN.weights,
    output:
        page="results/report/report.html",
        curves=directory("results/report/curves"),
    log:
        "logs/report/report.log",
    benchmark:
        "benchmarks/report/report.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(16_000),
        runtime=more(60),
        src=SRC,
        dag=f"{workflow.basedir}/workflow/report/dag.mmd",
    params:
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        references=PLAN.series(
            "results/ingest/{}.parquet", PLAN.curated + PLAN.references
        ),
        ingested=PLAN.series("results/ingest/{}.parquet", PLAN.pool),
        screened=PLAN.series("results/screen/{}.screened.parquet", PLAN.pool),
        pool=PLAN.pool_names,
        summaries=PLAN.series("{}", PLAN.summaries),
        timings=PLAN.series("{}", PLAN.timings),
    shell:
        "python {resources.src}/report.py --pool {params.pool} --summaries {params.summaries}"
        " --images {params.images} {params.references} --ingested {params.ingested} --screened {params.screened}"
        " --duplicates {input.duplicates} --copies {input.copies} --neighbours {input.neighbours}"
        " --manifest {input.manifest} --metrics {input.metrics} --plates {input.plates} --logs {input.logs} --weights {input.weights}"
        " --benchmarks-tsv {params.timings} --dag {resources.dag} --curves {output.curves}"
        " --out {output.page} 2> {log}"
