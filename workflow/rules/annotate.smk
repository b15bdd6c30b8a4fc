"""From sequences and profile HMMs to domains, architectures and GFF3.

Inputs: sequences.fasta of a batch, the profile library. Outputs: batches/{batch}/
domains.tsv, architectures.tsv, domains.gff3.
"""


rule annotate_batch:
    input:
        fasta="<results>/batches/{batch}/sequences.fasta",
        profiles=settings.annotate.profiles,
    output:
        domains="<results>/batches/{batch}/domains.tsv",
        architectures="<results>/batches/{batch}/architectures.tsv",
        gff3="<results>/batches/{batch}/domains.gff3",
        provenance="<results>/batches/{batch}/annotate.provenance.json",
    log:
        "<logs>/{batch}/annotate.log",
    benchmark:
        "<benchmarks>/{batch}/annotate.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 8
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        options=get_options("annotate"),
        folder=subpath(output.domains, parent=True),
        code=code_digest("annotate"),
    shell:
        "omicsai annotate {input.fasta:q} {params.options:q} --threads {threads}"
        " --out {params.folder:q} 2> {log:q}"


rule annotate:
    input:
        expand(
            "<results>/batches/{batch}/domains.tsv",
            batch=get_batches(molecule="protein"),
        ),
