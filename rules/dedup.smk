# One image per set of copies, and none that overlaps a benchmark. What is fitted or trained is so on the
# pool's first source: what is appended changes none of it.


rule train_sscd:
    input:
        images=expand(
            "results/screen/{pool_shard}.parquet", pool_shard=PLAN.first_source
        ),
        tars=expand("results/screen/{pool_shard}.tar", pool_shard=PLAN.first_source),
        curated=expand("results/ingest/{shard}.parquet", shard=PLAN.curated),
    output:
        weights="results/train_sscd/sscd.safetensors",
        log="results/train_sscd/log.parquet",
    log:
        "logs/train_sscd/train_sscd.log",
    benchmark:
        "benchmarks/train_sscd/train_sscd.tsv"
    localrule: True
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(1440),
        launch="",
        speed=SPEED.get("train_sscd", ""),
        src=SRC,
    params:
        images=PLAN.series("results/screen/{}.parquet", PLAN.first_source),
        curated=PLAN.series("results/ingest/{}.parquet", PLAN.curated),
        knobs=KNOBS["train_sscd"],
    shell:
        "python {resources.src}/launch.py {resources.launch} --outputs {output} -- {resources.src}/train_sscd.py"
        " --images {params.images} {params.curated} --out {output.weights}"
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
        mem_mb=more(16_000),
        runtime=more(120),
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
        expand("results/describe/{pool_shard}.parquet", pool_shard=PLAN.first_source),
    output:
        "results/hash/pca.safetensors",
    log:
        "logs/hash/fit.log",
    benchmark:
        "benchmarks/hash/fit.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(16_000),
        runtime=more(120),
        speed=SPEED.get("hash", ""),
        src=SRC,
    params:
        tables=PLAN.series("results/describe/{}.parquet", PLAN.first_source),
        knobs=KNOBS["hash"],
    shell:
        "python {resources.src}/fit_hash.py --descriptors {params.tables} --out {output} {params.knobs} {resources.speed} 2> {log}"


rule hash:
    input:
        descriptors=by(PLAN.described, "link_block"),
        pca="results/hash/pca.safetensors",
    output:
        hashes="results/hash/{link_block}.parquet",
        summary="results/hash/{link_block}.summary.parquet",
    log:
        "logs/hash/{link_block}.log",
    benchmark:
        "benchmarks/hash/{link_block}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(8_000),
        runtime=more(60),
        speed=SPEED.get("hash", ""),
        src=SRC,
    params:
        descriptors=spelt(PLAN.described, "link_block"),
        knobs=KNOBS["hash"],
    shell:
        "python {resources.src}/hash.py --descriptors {params.descriptors} --pca {input.pca} --block {wildcards.link_block}"
        " --out {output.hashes} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule group_hashes:
    input:
        hashes=expand("results/hash/{link_block}.parquet", link_block=PLAN.link_blocks),
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
        mem_mb=more(64_000),
        runtime=more(120),
        speed=SPEED.get("hash", ""),
        src=SRC,
    params:
        hashes=PLAN.series("results/hash/{}.parquet", PLAN.link_blocks),
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        knobs=KNOBS["hash"],
    shell:
        "python {resources.src}/group_hashes.py --hashes {params.hashes} --images {params.images}"
        " --out {output.duplicates} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule link_train:
    input:
        expand("results/describe/{pool_shard}.parquet", pool_shard=PLAN.first_source),
    output:
        "results/link/trained.faiss",
    log:
        "logs/link/train.log",
    benchmark:
        "benchmarks/link/train.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(720),
        speed=SPEED.get("link", ""),
        src=SRC,
    params:
        descriptors=PLAN.series("results/describe/{}.parquet", PLAN.first_source),
        knobs=KNOBS["link"],
    shell:
        "python {resources.src}/link_train.py --descriptors {params.descriptors} --out {output}"
        " {params.knobs} {resources.speed} 2> {log}"


# `ancient`: a crawl that is appended changes no duplicate of the blocks that are there; the knobs of
# hash rerun them, and link_merge refuses what was searched among others.
rule link_index:
    input:
        descriptors=by(PLAN.described, "link_block"),
        duplicates=ancient("results/hash/duplicates.parquet"),
        trained="results/link/trained.faiss",
    output:
        "results/link/index/{link_block}.faiss",
    log:
        "logs/link/index/{link_block}.log",
    benchmark:
        "benchmarks/link/index/{link_block}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(32_000),
        runtime=more(120),
        speed=SPEED.get("link", ""),
        src=SRC,
    params:
        descriptors=spelt(PLAN.described, "link_block"),
        hashed=KNOBS["hash"],
    shell:
        "python {resources.src}/link_index.py --descriptors {params.descriptors} --duplicates {input.duplicates}"
        " --trained {input.trained} --out {output} {resources.speed} 2> {log}"


rule link:
    input:
        queries=by(PLAN.known_by, "query_block"),
        index="results/link/index/{link_block}.faiss",
        duplicates=ancient("results/hash/duplicates.parquet"),
    output:
        "results/link/parts/{query_block}/{link_block}.parquet",
    log:
        "logs/link/{query_block}/{link_block}.log",
    benchmark:
        "benchmarks/link/{query_block}/{link_block}.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(240),
        speed=SPEED.get("link", ""),
        src=SRC,
    params:
        blocks=by(PLAN.search_flags, "query_block", "link_block"),
        hashed=KNOBS["hash"],
        knobs=KNOBS["link"],
    shell:
        "python {resources.src}/link.py {params.blocks} --duplicates {input.duplicates} --index {input.index}"
        " --out {output} {params.knobs} {resources.speed} 2> {log}"


rule link_merge:
    input:
        parts=by(PLAN.link_parts, "query_block"),
        duplicates="results/hash/duplicates.parquet",
    output:
        edges="results/link/{query_block}.parquet",
        summary="results/link/{query_block}.summary.parquet",
    log:
        "logs/link/{query_block}/merge.log",
    benchmark:
        "benchmarks/link/{query_block}/merge.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(32_000),
        runtime=more(120),
        speed=SPEED.get("link", ""),
        src=SRC,
    params:
        parts=spelt(PLAN.link_parts, "query_block"),
        reference=by(PLAN.reference_flag, "query_block"),
        knobs=KNOBS["link"],
    shell:
        "python {resources.src}/link_merge.py --parts {params.parts} --duplicates {input.duplicates}"
        " --block {wildcards.query_block} {params.reference} --out {output.edges} --summary {output.summary}"
        " {params.knobs} {resources.speed} 2> {log}"


rule link_summary:
    input:
        expand(
            "results/link/{query_block}.summary.parquet", query_block=PLAN.query_blocks
        ),
    output:
        "results/link/summary.parquet",
    log:
        "logs/link/summary.log",
    benchmark:
        "benchmarks/link/summary.tsv"
    localrule: True  # seconds, and a job takes as long to start
    conda:
        "../envs/cpu.yaml"
    resources:
        src=SRC,
    params:
        summaries=PLAN.series("results/link/{}.summary.parquet", PLAN.query_blocks),
    shell:
        "python {resources.src}/summarise.py --summaries {params.summaries} --shard link --out {output} 2> {log}"


rule dedup:
    input:
        edges=expand(
            "results/link/{query_block}.parquet", query_block=PLAN.query_blocks
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
        mem_mb=more(128_000),
        runtime=more(720),
        speed=SPEED.get("dedup", ""),
        src=SRC,
    params:
        edges=PLAN.series("results/link/{}.parquet", PLAN.query_blocks),
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        knobs=KNOBS["dedup"],
    shell:
        "python {resources.src}/dedup.py --edges {params.edges} --images {params.images} --duplicates {input.duplicates}"
        " --out {output.copies} --summary {output.summary} --components {log.components} {params.knobs} {resources.speed} 2> {log.text}"
