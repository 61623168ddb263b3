# One image per set of copies, and none that overlaps a benchmark.


rule train_sscd:
    input:
        images=expand("results/screen/{pool_shard}.parquet", pool_shard=PLAN.pool),
        tars=expand("results/screen/{pool_shard}.tar", pool_shard=PLAN.pool),
        curated=expand("results/ingest/{shard}.parquet", shard=PLAN.curated),
    output:
        weights="results/train_sscd/sscd.safetensors",
        log="results/train_sscd/log.parquet",
    log:
        "logs/train_sscd/train_sscd.log",
    benchmark:
        "benchmarks/train_sscd/train_sscd.tsv"
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=64_000,
        runtime=1440,
        speed=SPEED.get("train_sscd", ""),
        src=SRC,
    params:
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        curated=PLAN.series("results/ingest/{}.parquet", PLAN.curated),
        knobs=KNOBS["train_sscd"],
    shell:
        "python {resources.src}/train_sscd.py --images {params.images} {params.curated} --out {output.weights}"
        " --log {output.log} --checkpoints checkpoints/train_sscd {params.knobs} {resources.speed} 2> {log}"


rule describe:
    input:
        images=by(PLAN.images_of, "shard"),
        tar=by(PLAN.tar_of, "shard"),
        weights=PLAN.made([PLAN.sscd]),
    output:
        descriptors="results/describe/{shard}.parquet",
        summary="results/describe/{shard}.summary.parquet",
    log:
        "logs/describe/{shard}.log",
    benchmark:
        "benchmarks/describe/{shard}.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=16_000,
        runtime=120,
        speed=SPEED.get("describe", ""),
        src=SRC,
    params:
        sscd=same(PLAN.sscd),
        knobs=KNOBS["describe"],
    shell:
        "python {resources.src}/describe.py --images {input.images} --sscd {params.sscd} --shard {wildcards.shard}"
        " --out {output.descriptors} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule fit_hash:
    input:
        expand("results/describe/{pool_shard}.parquet", pool_shard=PLAN.pool),
    output:
        "results/hash/pca.safetensors",
    log:
        "logs/hash/fit.log",
    benchmark:
        "benchmarks/hash/fit.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=16_000,
        runtime=120,
        speed=SPEED.get("hash", ""),
        src=SRC,
    params:
        tables=PLAN.series("results/describe/{}.parquet", PLAN.pool),
        knobs=KNOBS["hash"],
    shell:
        "python {resources.src}/fit_hash.py --descriptors {params.tables} --out {output} {params.knobs} {resources.speed} 2> {log}"


rule hash:
    input:
        descriptors="results/describe/{pool_shard}.parquet",
        pca="results/hash/pca.safetensors",
    output:
        hashes="results/hash/{pool_shard}.parquet",
        summary="results/hash/{pool_shard}.summary.parquet",
    log:
        "logs/hash/{pool_shard}.log",
    benchmark:
        "benchmarks/hash/{pool_shard}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=8_000,
        runtime=120,
        speed=SPEED.get("hash", ""),
        src=SRC,
    params:
        knobs=KNOBS["hash"],
    shell:
        "python {resources.src}/hash.py --descriptors {input.descriptors} --pca {input.pca} --shard {wildcards.pool_shard}"
        " --out {output.hashes} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule group_hashes:
    input:
        hashes=expand("results/hash/{pool_shard}.parquet", pool_shard=PLAN.pool),
        images=expand("results/screen/{pool_shard}.parquet", pool_shard=PLAN.pool),
    output:
        duplicates="results/hash/duplicates.parquet",
        summary="results/hash/summary.parquet",
    log:
        "logs/hash/group.log",
    benchmark:
        "benchmarks/hash/group.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=64_000,
        runtime=120,
        speed=SPEED.get("hash", ""),
        src=SRC,
    params:
        hashes=PLAN.series("results/hash/{}.parquet", PLAN.pool),
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        knobs=KNOBS["hash"],
    shell:
        "python {resources.src}/group_hashes.py --hashes {params.hashes} --images {params.images}"
        " --out {output.duplicates} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule link_index:
    input:
        descriptors=expand(
            "results/describe/{pool_shard}.parquet", pool_shard=PLAN.pool
        ),
        duplicates="results/hash/duplicates.parquet",
    output:
        "results/link/index.faiss",
    log:
        "logs/link/index.log",
    benchmark:
        "benchmarks/link/index.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=128_000,
        runtime=720,
        speed=SPEED.get("link", ""),
        src=SRC,
    params:
        descriptors=PLAN.series("results/describe/{}.parquet", PLAN.pool),
        knobs=KNOBS["link"],
    shell:
        "python {resources.src}/link_index.py --descriptors {params.descriptors} --duplicates {input.duplicates}"
        " --out {output} {params.knobs} {resources.speed} 2> {log}"


rule link:
    input:
        queries="results/describe/{shard}.parquet",
        duplicates="results/hash/duplicates.parquet",
        index="results/link/index.faiss",
    output:
        edges="results/link/{shard}.parquet",
        summary="results/link/{shard}.summary.parquet",
    log:
        "logs/link/{shard}.log",
    benchmark:
        "benchmarks/link/{shard}.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=128_000,
        runtime=120,
        speed=SPEED.get("link", ""),
        src=SRC,
    params:
        descriptors=PLAN.series("results/describe/{}.parquet", PLAN.pool),
        knobs=KNOBS["link"],
    shell:
        "python {resources.src}/link.py --queries {input.queries} --descriptors {params.descriptors}"
        " --duplicates {input.duplicates} --index {input.index} --shard {wildcards.shard}"
        " --out {output.edges} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule dedup:
    input:
        edges=expand(
            "results/link/{shard}.parquet",
            shard=PLAN.pool + PLAN.curated + PLAN.references,
        ),
        images=expand("results/screen/{pool_shard}.parquet", pool_shard=PLAN.pool),
        duplicates="results/hash/duplicates.parquet",
    output:
        copies="results/dedup/copies.parquet",
        summary="results/dedup/summary.parquet",
    log:
        text="logs/dedup/dedup.log",
        # No output: it must outlive the job that a giant component stops.
        components="logs/dedup/components.parquet",
    benchmark:
        "benchmarks/dedup/dedup.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=128_000,
        runtime=720,
        speed=SPEED.get("dedup", ""),
        src=SRC,
    params:
        edges=PLAN.series(
            "results/link/{}.parquet", PLAN.pool + PLAN.curated + PLAN.references
        ),
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        knobs=KNOBS["dedup"],
    shell:
        "python {resources.src}/dedup.py --edges {params.edges} --images {params.images} --duplicates {input.duplicates}"
        " --out {output.copies} --summary {output.summary} --components {log.components} {params.knobs} {resources.speed} 2> {log.text}"
