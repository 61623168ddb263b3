# Self-supervised training: pretrain, adapt to high resolution, distil. `resources.launch` says where:
# in the rule's own process, in several on this machine, or in a job of a cluster that the rule watches.


rule pretrain:
    input:
        manifest=by(PLAN.manifest_of, "run"),
    output:
        backbone="results/pretrain/{run}/backbone.safetensors",
        heads="results/pretrain/{run}/heads.safetensors",
        log="results/pretrain/{run}/log.parquet",
    log:
        "logs/pretrain/{run}.log",
    benchmark:
        "benchmarks/pretrain/{run}.tsv"
    localrule: True
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=64_000,
        runtime=2880,
        launch="",
        speed=SPEED.get("pretrain", ""),
        src=SRC,
    params:
        knobs=by(PLAN.run_knobs, "run"),
    shell:
        "python {resources.src}/launch.py {resources.launch} --outputs {output} -- {resources.src}/pretrain.py"
        " --manifest {input.manifest} --out {output.backbone}"
        " --heads {output.heads} --log {output.log} --checkpoints checkpoints/pretrain/{wildcards.run} {params.knobs} {resources.speed} 2> {log}"


rule adapt:
    input:
        manifest=PLAN.manifest,
        backbone="results/pretrain/main/backbone.safetensors",
        heads="results/pretrain/main/heads.safetensors",
    output:
        backbone="results/adapt/main/backbone.safetensors",
        heads="results/adapt/main/heads.safetensors",
        log="results/adapt/main/log.parquet",
    log:
        "logs/adapt/main.log",
    benchmark:
        "benchmarks/adapt/main.tsv"
    localrule: True
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=64_000,
        runtime=2880,
        launch="",
        speed=SPEED.get("adapt", ""),
        src=SRC,
    params:
        knobs=KNOBS["adapt"],
    shell:
        "python {resources.src}/launch.py {resources.launch} --outputs {output} -- {resources.src}/adapt.py"
        " --manifest {input.manifest} --backbone {input.backbone}"
        " --heads {input.heads} --out {output.backbone} --out-heads {output.heads} --log {output.log}"
        " --checkpoints checkpoints/adapt/main {params.knobs} {resources.speed} 2> {log}"


rule distill:
    input:
        manifest=PLAN.manifest,
        backbone="results/adapt/main/backbone.safetensors",
        heads="results/adapt/main/heads.safetensors",
    output:
        backbones=expand(
            "results/distill/{student}/backbone.safetensors", student=PLAN.students
        ),
        heads=expand(
            "results/distill/{student}/heads.safetensors", student=PLAN.students
        ),
        log="results/distill/main/log.parquet",
    log:
        "logs/distill/main.log",
    benchmark:
        "benchmarks/distill/main.tsv"
    localrule: True
    conda:
        "../envs/gpu.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=64_000,
        runtime=2880,
        launch="",
        speed=SPEED.get("distill", ""),
        src=SRC,
    params:
        knobs=KNOBS["distill"],
    shell:
        "python {resources.src}/launch.py {resources.launch} --outputs {output} -- {resources.src}/distill.py"
        " --manifest {input.manifest} --teacher {input.backbone}"
        " --teacher-heads {input.heads} --out {output.backbones} --heads {output.heads} --log {output.log}"
        " --checkpoints checkpoints/distill/main {params.knobs} {resources.speed} 2> {log}"
