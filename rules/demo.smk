# The demo's own world and the two detectors it needs.


rule world:
    output:
        truth="world/truth.parquet",
        archives="world/crawl.paths",
        folders=directory(
            expand(
                "world/{folder}",
                folder=["benchmarks", "crawl", "curated", "detectors", "site"],
            )
        ),
    log:
        "logs/demo/world.log",
    benchmark:
        "benchmarks/demo/world.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(4_000),
        runtime=more(30),
        speed=SPEED.get("demo", ""),
        src=SRC,
    params:
        knobs=KNOBS["demo"],
    shell:
        "python {resources.src}/demo.py --out world {params.knobs} {resources.speed} 2> {log}"


rule detectors:
    input:
        "world/truth.parquet",
    output:
        nsfw="results/detectors/nsfw.onnx",
        faces="results/detectors/faces.onnx",
    log:
        "logs/demo/detectors.log",
    benchmark:
        "benchmarks/demo/detectors.tsv"
    priority: 1  # all data wait for them
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=more(4_000),
        runtime=more(30),
        speed=SPEED.get("train_detectors", ""),
        src=SRC,
    params:
        knobs=KNOBS["train_detectors"],
    shell:
        "python {resources.src}/train_detectors.py --detectors world/detectors --nsfw {output.nsfw} --faces {output.faces} {params.knobs} {resources.speed} 2> {log}"
