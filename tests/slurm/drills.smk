# Jobs that fail in the ways a cluster makes jobs fail; the profile is the project's.
rule all:
    input:
        config["parts"],


rule needs_memory:
    output:
        "memory-{part}",
    log:
        "logs/memory-{part}.log",
    resources:
        mem_mb=lambda wildcards, attempt: 400 * attempt,
        slurm_partition="gpu",
    shell:
        "python -c 'import time; held = bytearray(500 << 20); held[:] = bytes(500 << 20); time.sleep(8)' 2> {log}"
        " && touch {output}"


rule needs_time:
    output:
        "time-{part}",
    log:
        "logs/time-{part}.log",
    resources:
        mem_mb=1000,
        runtime=lambda wildcards, attempt: attempt,
        slurm_partition="gpu",
    shell:
        "[ -e tried ] || {{ touch tried; sleep 900; }} && touch {output} 2> {log}"


rule needs_a_node:
    output:
        "node-{part}",
    log:
        "logs/node-{part}.log",
    resources:
        mem_mb=1000,
        slurm_extra="'--nodelist=cpu2'",
    shell:
        "echo start >> starts; [ $(wc -l < starts) -gt 1 ] || sleep 900; touch {output} 2> {log}"


rule never:
    output:
        "never-{part}",
    log:
        "logs/never-{part}.log",
    resources:
        mem_mb=1000,
        slurm_partition="gpu",
    shell:
        "echo 'never: expected luck' > {log}; exit 2"


rule astray:
    output:
        "astray-{part}",
    log:
        "logs/astray-{part}.log",
    resources:
        mem_mb=1000,
        slurm_partition="fast",
    shell:
        "touch {output} 2> {log}"


rule easy:
    output:
        "easy-{part}",
    log:
        "logs/easy-{part}.log",
    resources:
        mem_mb=1000,
    shell:
        "touch {output} 2> {log}"


rule meets:
    # as a training does, it waits on the machine where Snakemake runs
    output:
        "meets-{part}",
    log:
        "logs/meets-{part}.log",
    localrule: True
    resources:
        turn=0,
    shell:
        "touch here-{wildcards.part};"
        " timeout 60 sh -c 'until [ -e here-1 -a -e here-2 ]; do sleep 0.2; done' 2> {log}"
        " && touch {output}"
