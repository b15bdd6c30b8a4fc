"""From FASTA and labels as they come to canonical sequences and a list of rejects.

Inputs: FASTA and label table of each batch. Outputs: batches/{batch}/sequences.fasta,
records.tsv, duplicates.tsv, rejected.tsv.
"""


rule simulate:
    output:
        **EXAMPLE,
        provenance=f"{EXAMPLE_FOLDER}/simulate.provenance.json",
    log:
        "<logs>/simulate.log",
    benchmark:
        "<benchmarks>/simulate.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        options=get_options("simulate"),
        seed=settings.seed,
        folder=subpath(output.known, parent=True),
        code=code_digest("simulate"),
    shell:
        "omicsai simulate {params.options:q} --seed {params.seed} --out {params.folder:q}"
        " 2> {log:q}"


rule check_batch:
    input:
        fasta=lambda wildcards: batches[wildcards.batch].fasta,
        labels=get_label_table,
    output:
        sequences="<results>/batches/{batch}/sequences.fasta",
        records="<results>/batches/{batch}/records.tsv",
        duplicates="<results>/batches/{batch}/duplicates.tsv",
        rejected=report(
            "<results>/batches/{batch}/rejected.tsv",
            caption="../report/rejected.rst",
            category="Data",
            labels={"batch": "{batch}", "table": "records set aside"},
        ),
        provenance="<results>/batches/{batch}/check.provenance.json",
    log:
        "<logs>/{batch}/check.log",
    benchmark:
        "<benchmarks>/{batch}/check.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        labels=get_label_arguments,
        molecule=lambda wildcards: batches[wildcards.batch].molecule,
        options=get_options("check"),
        folder=subpath(output.records, parent=True),
        code=code_digest("check"),
    shell:
        "omicsai check {input.fasta:q} {params.labels:q} --molecule {params.molecule}"
        " {params.options:q} --out {params.folder:q} 2> {log:q}"


rule check:
    input:
        expand("<results>/batches/{batch}/records.tsv", batch=batches),
