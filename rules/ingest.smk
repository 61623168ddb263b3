# From a crawl, or from files, to validated images in tar shards; the pool is screened.


rule links:
    input:
        DAG.world,
    output:
        links="results/links/{link_part}.parquet",
        summary="results/links/{link_part}.summary.parquet",
    log:
        "logs/links/{link_part}.log",
    benchmark:
        "benchmarks/links/{link_part}.tsv"
    conda:
        "../envs/cpu.yaml"
    params:
        where=link_flags,
        knobs=KNOBS["links"],
    resources:
        mem_mb=4_000,
        runtime=60,
        speed=SPEED.get("links", ""),
        src=SRC,
    shell:
        "python {resources.src}/links.py {params.where} --shard {wildcards.link_part} --out {output.links}"
        " --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule ingest_pool:
    input:
        DAG.world,
        links=links_of,
        hosts=DAG.hosts,
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
    params:
        where=ingest_flags,
        knobs=KNOBS["ingest"],
    resources:
        mem_mb=8_000,
        runtime=360,
        speed=SPEED.get("ingest", ""),
        src=SRC,
    shell:
        "python {resources.src}/ingest.py {params.where} --links {input.links} --hosts {input.hosts}"
        " --out {output.images} --out-tar {output.tar} --summary {output.summary}"
        " {params.knobs} {resources.speed} 2> {log}"


rule ingest_reference:
    input:
        DAG.world,
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
    params:
        where=ingest_flags,
        knobs=KNOBS["ingest"],
    resources:
        mem_mb=8_000,
        runtime=360,
        speed=SPEED.get("ingest", ""),
        src=SRC,
    shell:
        "python {resources.src}/ingest.py {params.where} --out {output.images} --out-tar {output.tar}"
        " --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule screen:
    input:
        images="results/ingest/{pool_shard}.parquet",
        tar="results/ingest/{pool_shard}.tar",
        nsfw=DAG.config.knobs["screen"].nsfw_model,
        faces=DAG.config.knobs["screen"].faces_model,
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
    params:
        knobs=KNOBS["screen"],
    resources:
        gpu=1,
        mem_mb=16_000,
        runtime=240,
        speed=SPEED.get("screen", ""),
        src=SRC,
    shell:
        "python {resources.src}/screen.py --images {input.images} --nsfw {input.nsfw} --faces {input.faces}"
        " --shard {wildcards.pool_shard} --out {output.images} --out-tar {output.tar}"
        " --screened {output.screened} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"
