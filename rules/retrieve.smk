# Embed, retrieve what resembles the curated sets, and write the training manifest. What is fitted is
# so on the pool's first source: what is appended changes none of it.


# Snakemake overlooks changed params of whatever is downstream of an `ancient` file that is made again:
# there, a file of the knobs tells.
rule knobs:
    output:
        "results/knobs/{stage}.txt",
    log:
        "logs/knobs/{stage}.log",
    wildcard_constraints:
        stage="embed|index|cluster",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    params:
        knobs=by(PLAN.followed, "stage"),
    shell:
        "echo {params.knobs:q} > {output} 2> {log}"


# `ancient`: a crawl that is appended takes old images away, which everything that reads embeddings and
# clusters leaves out by today's COPIES; only what is fitted stays as it is.
rule embed:
    input:
        images=by(PLAN.images_of, "shard"),
        tar=by(PLAN.tar_of, "shard"),
        copies=ancient(by(PLAN.copies_of, "shard")),
        knobs=branch(by(PLAN.copies_of, "shard"), then="results/knobs/embed.txt"),
        backbone=PLAN.made([PLAN.embedder]),
    output:
        embeddings="results/embed/{shard}.parquet",
        summary="results/embed/{shard}.summary.parquet",
    log:
        "logs/embed/{shard}.log",
    benchmark:
        "benchmarks/embed/{shard}.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(16_000),
        runtime=more(120),
        speed=SPEED.get("embed", ""),
        src=SRC,
    params:
        backbone=same(PLAN.embedder),
        knobs=KNOBS["embed"],
    shell:
        "python {resources.src}/embed.py --images {input.images} --copies {input.copies} --backbone {params.backbone}"
        " --shard {wildcards.shard} --out {output.embeddings} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule index_train:
    input:
        embeddings=expand(
            "results/embed/{pool_shard}.parquet", pool_shard=PLAN.first_source
        ),
        copies=ancient("results/dedup/copies.parquet"),
        knobs="results/knobs/index.txt",
    output:
        "results/index/trained.faiss",
    log:
        "logs/index/train.log",
    benchmark:
        "benchmarks/index/train.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(720),
        speed=SPEED.get("index", ""),
        src=SRC,
    params:
        embeddings=PLAN.series("results/embed/{}.parquet", PLAN.first_source),
        knobs=KNOBS["index"],
    shell:
        "python {resources.src}/index_train.py --embeddings {params.embeddings} --copies {input.copies} --out {output}"
        " {params.knobs} {resources.speed} 2> {log}"


rule index:
    input:
        embeddings=by(PLAN.embedded, "index_block"),
        copies="results/dedup/copies.parquet",
        trained="results/index/trained.faiss",
    output:
        index="results/index/{index_block}.faiss",
        summary="results/index/{index_block}.summary.parquet",
    log:
        "logs/index/{index_block}.log",
    benchmark:
        "benchmarks/index/{index_block}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(32_000),
        runtime=more(120),
        speed=SPEED.get("index", ""),
        src=SRC,
    params:
        embeddings=spelt(PLAN.embedded, "index_block"),
        knobs=KNOBS["index"],
    shell:
        "python {resources.src}/index.py --embeddings {params.embeddings} --copies {input.copies} --trained {input.trained}"
        " --block {wildcards.index_block} --out {output.index} --summary {output.summary}"
        " {params.knobs} {resources.speed} 2> {log}"


rule cluster_sample:
    input:
        embeddings=expand(
            "results/embed/{pool_shard}.parquet", pool_shard=PLAN.first_source
        ),
        copies=ancient("results/dedup/copies.parquet"),
        knobs="results/knobs/cluster.txt",
    output:
        # Bytes as many as the sample has: deleted when the centroids are there.
        sample=temp("results/cluster/sample.safetensors"),
        summary="results/cluster/summary.parquet",
    log:
        "logs/cluster/sample.log",
    benchmark:
        "benchmarks/cluster/sample.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(8_000),
        runtime=more(720),
        speed=SPEED.get("cluster", ""),
        src=SRC,
    params:
        embeddings=PLAN.series("results/embed/{}.parquet", PLAN.first_source),
        knobs=KNOBS["cluster"],
    shell:
        "python {resources.src}/cluster_sample.py --embeddings {params.embeddings} --copies {input.copies}"
        " --out {output.sample} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule cluster:
    input:
        sample="results/cluster/sample.safetensors",
    output:
        "results/cluster/centroids.safetensors",
    log:
        "logs/cluster/cluster.log",
    benchmark:
        "benchmarks/cluster/cluster.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(64_000),
        runtime=more(1440),
        speed=SPEED.get("cluster", ""),
        src=SRC,
    params:
        knobs=KNOBS["cluster"],
    shell:
        "python {resources.src}/cluster.py --vectors {input.sample} --out {output}"
        " --checkpoints checkpoints/cluster {params.knobs} {resources.speed} 2> {log}"


rule assign:
    input:
        embeddings=by(PLAN.embedded, "index_block"),
        images=by(PLAN.screened, "index_block"),
        centroids="results/cluster/centroids.safetensors",
    output:
        clusters="results/cluster/{index_block}.parquet",
        summary="results/cluster/{index_block}.summary.parquet",
    log:
        "logs/cluster/{index_block}.log",
    benchmark:
        "benchmarks/cluster/{index_block}.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(8_000),
        runtime=more(60),
        speed=SPEED.get("cluster", ""),
        src=SRC,
    params:
        embeddings=spelt(PLAN.embedded, "index_block"),
        images=spelt(PLAN.screened, "index_block"),
        knobs=KNOBS["cluster"],
    shell:
        "python {resources.src}/assign.py --embeddings {params.embeddings} --images {params.images}"
        " --block {wildcards.index_block} --centroids {input.centroids} --out {output.clusters}"
        " --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule retrieve:
    input:
        queries=by(PLAN.queries_of, "dataset"),
        searched=by(PLAN.searched_of, "dataset"),
        pool=by(PLAN.pool_of, "dataset"),
        copies="results/dedup/copies.parquet",
    output:
        neighbours="results/retrieve/{dataset}.parquet",
        summary="results/retrieve/{dataset}.summary.parquet",
    log:
        "logs/retrieve/{dataset}.log",
    benchmark:
        "benchmarks/retrieve/{dataset}.tsv"
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=more(128_000),
        runtime=more(720),
        speed=SPEED.get("retrieve", ""),
        src=SRC,
    params:
        rows=by(PLAN.retrieve_flags, "dataset"),
        knobs=KNOBS["retrieve"],
    shell:
        "python {resources.src}/retrieve.py {params.rows} --queries {input.queries} --copies {input.copies}"
        " --out {output.neighbours} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule manifest:
    input:
        curated=expand("results/ingest/{shard}.parquet", shard=PLAN.curated),
        images=expand("results/screen/{pool_shard}.parquet", pool_shard=PLAN.pool),
        neighbours=expand("results/retrieve/{dataset}.parquet", dataset=PLAN.retrieved),
        copies="results/dedup/copies.parquet",
    output:
        lvd="results/manifest/lvd.parquet",
        uncurated="results/manifest/uncurated.parquet",
        summary="results/manifest/summary.parquet",
    log:
        "logs/manifest/manifest.log",
    benchmark:
        "benchmarks/manifest/manifest.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(16_000),
        runtime=more(240),
        speed=SPEED.get("manifest", ""),
        src=SRC,
    params:
        curated=PLAN.series("results/ingest/{}.parquet", PLAN.curated),
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        knobs=KNOBS["manifest"],
    shell:
        "python {resources.src}/manifest.py --curated {params.curated} --images {params.images}"
        " --neighbours {input.neighbours} --copies {input.copies} --out {output.lvd}"
        " --uncurated {output.uncurated} --summary {output.summary} {params.knobs} {resources.speed} 2> {log}"


rule curated_manifest:
    input:
        curated=expand("results/ingest/{shard}.parquet", shard=PLAN.curated),
    output:
        "results/manifest/curated.parquet",
    log:
        "logs/manifest/curated.log",
    benchmark:
        "benchmarks/manifest/curated.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(32_000),
        runtime=more(60),
        speed=SPEED.get("manifest", ""),
        src=SRC,
    params:
        curated=PLAN.series("results/ingest/{}.parquet", PLAN.curated),
    shell:
        "python {resources.src}/manifest.py --curated {params.curated} --curated-only True --out {output} {resources.speed} 2> {log}"


rule balance:
    input:
        images=expand("results/screen/{pool_shard}.parquet", pool_shard=PLAN.pool),
        centroids="results/cluster/centroids.safetensors",
        clusters=expand(
            "results/cluster/{index_block}.parquet", index_block=PLAN.index_blocks
        ),
        copies="results/dedup/copies.parquet",
    output:
        manifest="results/manifest/balanced.parquet",
        summary="results/manifest/balanced.summary.parquet",
    log:
        "logs/manifest/balanced.log",
    benchmark:
        "benchmarks/manifest/balanced.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(32_000),
        runtime=more(240),
        speed=SPEED.get("balance", ""),
        src=SRC,
    params:
        images=PLAN.series("results/screen/{}.parquet", PLAN.pool),
        clusters=PLAN.series("results/cluster/{}.parquet", PLAN.index_blocks),
        knobs=KNOBS["balance"],
    shell:
        "python {resources.src}/balance.py --images {params.images} --centroids {input.centroids}"
        " --clusters {params.clusters} --copies {input.copies} --out {output.manifest} --summary {output.summary}"
        " {params.knobs} {resources.speed} 2> {log}"
