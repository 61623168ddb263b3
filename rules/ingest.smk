# From a crawl, or from files, to validated images in tar shards; the pool is screened.


rule links:
    input:
        PLAN.world,
    output:
        links="results/links/{link_part}.parquet",
        summary="results/links/{link_part}.summary.parquet",
    log:
        "logs/links/{link_part}.log",
    benchmark:
        "benchmarks/links/{link_part}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(4_000),
        runtime=more(60),
        speed=SPEED.get("links", ""),
        src=SRC,
    params:
        where=by(PLAN.link_flags, "link_part"),
        knobs=KNOBS["links"],
    shell:
        "python {resources.src}/links.py {params.where} --shard {wildcards.link_part} --out {output.links} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule links_summary:
    input:
        by(PLAN.link_summaries, "source"),
    output:
        "results/links/{source}.summary.parquet",
    log:
        "logs/links/{source}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(4_000),
        runtime=more(30),
        speed="",  # or it cannot go into a group with jobs that have some
        src=SRC,
    params:
        summaries=spelt(PLAN.link_summaries, "source"),
    shell:
        "python {resources.src}/summarise.py --summaries {params.summaries} --shard {wildcards.source}"
        " --out {output} 2> {log}"


rule ingest_pool:
    input:
        PLAN.world,
        by(PLAN.links_of, "pool_shard"),  # every link of the source is known
    output:
        images="results/ingest/{pool_shard}.parquet",
        tar=temp("results/ingest/{pool_shard}.tar"),  # unblurred bytes are not kept
        summary="results/ingest/{pool_shard}.summary.parquet",
    log:
        "logs/ingest/{pool_shard}.log",
    benchmark:
        "benchmarks/ingest/{pool_shard}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(8_000),
        runtime=more(360),
        speed=SPEED.get("ingest", ""),
        serving=SERVING,
        src=SRC,
    params:
        where=by(PLAN.ingest_flags, "pool_shard"),
        knobs=KNOBS["ingest"],
    shell:
        "{resources.serving} python {resources.src}/ingest.py {params.where}"
        " --out {output.images} --out-tar {output.tar} --summary {output.summary}"
        " --forgotten results/forget/forgotten.parquet {params.knobs} {resources.speed} 2> {log}"


rule ingest_reference:
    input:
        PLAN.world,
    output:
        images="results/ingest/{reference_shard}.parquet",
        tar="results/ingest/{reference_shard}.tar",
        summary="results/ingest/{reference_shard}.summary.parquet",
    log:
        "logs/ingest/{reference_shard}.log",
    benchmark:
        "benchmarks/ingest/{reference_shard}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(8_000),
        runtime=more(360),
        speed=SPEED.get("ingest", ""),
        src=SRC,
    params:
        where=by(PLAN.ingest_flags, "reference_shard"),
        knobs=KNOBS["ingest"],
    shell:
        "python {resources.src}/ingest.py {params.where} --out {output.images} --out-tar {output.tar} --summary {output.summary}"
        " --forgotten results/forget/forgotten.parquet {params.knobs} {resources.speed} 2> {log}"


rule screen:
    input:
        images="results/ingest/{pool_shard}.parquet",
        tar="results/ingest/{pool_shard}.tar",
        models=PLAN.made([PLAN.nsfw, PLAN.faces]),
    output:
        images="results/screen/{pool_shard}.parquet",
        tar="results/screen/{pool_shard}.tar",
        screened="results/screen/{pool_shard}.screened.parquet",
        summary="results/screen/{pool_shard}.summary.parquet",
    log:
        "logs/screen/{pool_shard}.log",
    benchmark:
        "benchmarks/screen/{pool_shard}.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(16_000),
        runtime=more(240),
        speed=SPEED.get("screen", ""),
        src=SRC,
    params:
        nsfw=same(PLAN.nsfw),
        faces=same(PLAN.faces),
        knobs=KNOBS["screen"],
    shell:
        "python {resources.src}/screen.py --images {input.images} --nsfw {params.nsfw} --faces {params.faces} --shard {wildcards.pool_shard}"
        " --out {output.images} --out-tar {output.tar} --screened {output.screened}"
        " --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"
