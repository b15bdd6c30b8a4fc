"""From sequences to vectors; what one batch has computed no other computes again.

Inputs: sequences.fasta of a batch, the encoder. Outputs: batches/{batch}/embeddings.h5;
the store under embedding_store/ only grows. With embed.shards above 1, as many jobs fill the
store side by side, and embed_batch finds it full.
"""


rule embed_shard:
    input:
        fasta="<results>/batches/{batch}/sequences.fasta",
        encoder=get_encoder_files,
    output:
        done="<results>/batches/{batch}/shards/{shard}.json",
    log:
        "<logs>/{batch}/embed.{shard}.log",
    benchmark:
        "<benchmarks>/{batch}/embed.{shard}.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=get_gpu,
    params:
        options=get_options("embed"),
        store=f"{settings.results}/embedding_store",
        code=code_digest("embed"),
    shell:
        "omicsai embed {input.fasta:q} {params.options:q} --shard {wildcards.shard}"
        " --store {params.store:q} --threads {threads} --out {output.done:q} 2> {log:q}"


rule embed_batch:
    input:
        fasta="<results>/batches/{batch}/sequences.fasta",
        encoder=get_encoder_files,
        shards=get_shards("<results>/batches/{batch}/shards/{shard}.json"),
    output:
        embeddings="<results>/batches/{batch}/embeddings.h5",
        provenance="<results>/batches/{batch}/embeddings.provenance.json",
    log:
        "<logs>/{batch}/embed.log",
    benchmark:
        "<benchmarks>/{batch}/embed.tsv"
    conda:
        "../../envs/omicsai.yaml"
    # the number of threads can change the last bits of a language model's vectors
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=get_gpu,
    params:
        options=get_options("embed"),
        store=f"{settings.results}/embedding_store",
        code=code_digest("embed"),
    shell:
        "omicsai embed {input.fasta:q} {params.options:q} --store {params.store:q}"
        " --threads {threads} --out {output.embeddings:q} 2> {log:q}"


rule embed:
    input:
        expand(
            "<results>/batches/{batch}/embeddings.h5",
            batch=get_batches(molecule="protein"),
        ),
