"""From the training batches to train, validation and test, and the leakage audit.

Inputs: sequences.fasta and records.tsv of the training batches. Outputs: split/split.tsv,
clusters.tsv, crossing.tsv, removed.tsv, identity_to_train.tsv, comparison.tsv,
audit.json.
"""


rule split_sequences:
    input:
        fasta=get_training_files("<results>/batches/{batch}/sequences.fasta"),
        labels=get_training_files("<results>/batches/{batch}/records.tsv"),
    output:
        split="<results>/split/split.tsv",
        clusters="<results>/split/clusters.tsv",
        crossing=report(
            "<results>/split/crossing.tsv",
            caption="../report/crossing.rst",
            category="Split",
            labels={"table": "pairs that still cross the parts"},
        ),
        removed="<results>/split/removed.tsv",
        identity="<results>/split/identity_to_train.tsv",
        comparison="<results>/split/comparison.tsv",
        audit="<results>/split/audit.json",
        provenance="<results>/split/split.provenance.json",
    log:
        "<logs>/split.log",
    benchmark:
        "<benchmarks>/split.tsv"
    conda:
        "../../envs/mmseqs2.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        options=get_options("split"),
        seed=settings.seed,
        folder=subpath(output.split, parent=True),
        code=code_digest("split"),
    shell:
        "omicsai split {input.fasta:q} --labels {input.labels:q} {params.options:q}"
        " --seed {params.seed} --threads {threads} --out {params.folder:q} 2> {log:q}"


rule split:
    input:
        rules.split_sequences.output,
