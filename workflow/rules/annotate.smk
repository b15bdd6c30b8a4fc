"""From sequences and profile HMMs to domains, architectures and GFF3.

Inputs: sequences.fasta of a batch, the profile library. Outputs: batches/{batch}/
domains.tsv, domains.domtblout, domains.gff3, architectures.tsv, architecture_counts.tsv,
presence.tsv.gz, go_terms.tsv; the store under domain_store/ only grows.
"""


rule annotate_batch:
    input:
        fasta="<results>/batches/{batch}/sequences.fasta",
        files=get_annotation_files,
    output:
        domains="<results>/batches/{batch}/domains.tsv",
        architectures="<results>/batches/{batch}/architectures.tsv",
        gff3="<results>/batches/{batch}/domains.gff3",
        domtblout="<results>/batches/{batch}/domains.domtblout",
        counts="<results>/batches/{batch}/architecture_counts.tsv",
        presence="<results>/batches/{batch}/presence.tsv.gz",
        go="<results>/batches/{batch}/go_terms.tsv",
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
        store=f"{settings.results}/domain_store",
        folder=subpath(output.domains, parent=True),
        code=code_digest("annotate"),
    shell:
        "omicsai annotate {input.fasta:q} {params.options:q} --store {params.store:q}"
        " --threads {threads} --out {params.folder:q} 2> {log:q}"


rule annotate:
    input:
        expand(
            "<results>/batches/{batch}/domains.tsv",
            batch=get_batches(molecule="protein"),
        ),
