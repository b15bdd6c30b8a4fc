"""From tRNAs to canonical numbers, identity elements, distances, cognates and isotypes.

Inputs: sequences.fasta and records.tsv of each tRNA batch. Outputs: batches/{batch}/trna/,
identity/, distance/, cognates/ and isotype/; pairing/ if synthetases are configured.
"""

TRNA = "<results>/batches/{batch}"
SEED = settings.covariance.alignment or ""
if settings.number.backend == "cmalign" and not SEED:
    raise ValueError(
        "number.backend: cmalign needs covariance.alignment, the seed of RF00005"
    )


rule covariance:
    input:
        get_file(SEED),
    output:
        model="<results>/covariance/trna.cm",
        provenance="<results>/covariance/covariance.provenance.json",
    log:
        "<logs>/covariance.log",
    benchmark:
        "<benchmarks>/covariance.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        options=get_options("covariance"),
        code=code_digest("covariance"),
    shell:
        "omicsai covariance {params.options:q} --out {output.model:q} 2> {log:q}"


rule number_batch:
    input:
        fasta=f"{TRNA}/sequences.fasta",
        labels=f"{TRNA}/records.tsv",
        model=(
            rules.covariance.output.model
            if settings.number.backend == "cmalign"
            else []
        ),
    output:
        numbering=f"{TRNA}/trna/numbering.tsv",
        records=report(
            f"{TRNA}/trna/records.tsv",
            caption="../report/numbered.rst",
            category="tRNA",
            labels={"batch": "{batch}", "table": "numbered tRNAs"},
        ),
        matrix=f"{TRNA}/trna/matrix.tsv",
        alignment=f"{TRNA}/trna/alignment.sto",
        structures=f"{TRNA}/trna/structures.txt",
        provenance=f"{TRNA}/trna/number.provenance.json",
    log:
        "<logs>/{batch}/number.log",
    benchmark:
        "<benchmarks>/{batch}/number.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        options=get_options("number"),
        model=lambda wildcards, input: ["--model", input.model] if input.model else [],
        folder=subpath(output.matrix, parent=True),
        code=code_digest("number"),
    shell:
        "omicsai number {input.fasta:q} --labels {input.labels:q} {params.options:q}"
        " {params.model:q} --out {params.folder:q} 2> {log:q}"


rule number:
    input:
        expand(rules.number_batch.output.matrix, batch=get_batches(molecule="trna")),


rule identity_batch:
    input:
        matrix=rules.number_batch.output.matrix,
        records=rules.number_batch.output.records,
        table=get_file(settings.identity.table),
    output:
        identity=f"{TRNA}/identity/identity.tsv",
        features=f"{TRNA}/identity/logo_features.tsv",
        heights=f"{TRNA}/identity/logo_heights.tsv",
        provenance=f"{TRNA}/identity/identity.provenance.json",
    log:
        "<logs>/{batch}/identity.log",
    benchmark:
        "<benchmarks>/{batch}/identity.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        numbered=subpath(input.matrix, parent=True),
        options=lambda wildcards: get_arguments(
            "identity", organism=batches[wildcards.batch].organism
        ),
        seed=settings.seed,
        folder=subpath(output.identity, parent=True),
        code=code_digest("identity"),
    shell:
        "omicsai identity {params.numbered:q} {params.options:q} --seed {params.seed}"
        " --out {params.folder:q} 2> {log:q}"


rule identity:
    input:
        expand(rules.identity_batch.output.identity, batch=get_batches(molecule="trna")),


rule distance_batch:
    input:
        matrix=rules.number_batch.output.matrix,
        records=rules.number_batch.output.records,
        identity=rules.identity_batch.output.identity,
    output:
        distances=f"{TRNA}/distance/distances.h5",
        neighbours=f"{TRNA}/distance/neighbours.tsv",
        clusters=f"{TRNA}/distance/clusters.tsv",
        map=f"{TRNA}/distance/map.tsv",
        provenance=f"{TRNA}/distance/distance.provenance.json",
    log:
        "<logs>/{batch}/distance.log",
    benchmark:
        "<benchmarks>/{batch}/distance.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        numbered=subpath(input.matrix, parent=True),
        options=get_options("distance"),
        seed=settings.seed,
        folder=subpath(output.map, parent=True),
        code=code_digest("distance"),
    shell:
        "omicsai distance {params.numbered:q} --identity {input.identity:q}"
        " {params.options:q} --seed {params.seed} --out {params.folder:q} 2> {log:q}"


rule distance:
    input:
        expand(rules.distance_batch.output.map, batch=get_batches(molecule="trna")),


rule cognates_batch:
    input:
        matrix=rules.number_batch.output.matrix,
        records=rules.number_batch.output.records,
        host=lambda wildcards: expand(
            rules.number_batch.output.matrix, batch=settings.host or wildcards.batch
        ),
        identity=lambda wildcards: expand(
            rules.identity_batch.output.identity,
            batch=settings.host or wildcards.batch,
        ),
    output:
        cognates=report(
            f"{TRNA}/cognates/cognates.tsv",
            caption="../report/cognates.rst",
            category="tRNA",
            labels={"batch": "{batch}", "table": "tRNAs by orthogonality"},
        ),
        scores=f"{TRNA}/cognates/cognate_scores.tsv",
        evidence=f"{TRNA}/cognates/cognate_evidence.tsv",
        provenance=f"{TRNA}/cognates/cognates.provenance.json",
    log:
        "<logs>/{batch}/cognates.log",
    benchmark:
        "<benchmarks>/{batch}/cognates.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        numbered=subpath(input.matrix, parent=True),
        host=lambda wildcards, input: str(Path(input.host[0]).parent),
        options=get_options("cognates"),
        folder=subpath(output.cognates, parent=True),
        code=code_digest("cognates"),
    shell:
        "omicsai cognates {params.numbered:q} --host {params.host:q}"
        " --identity {input.identity:q} {params.options:q} --out {params.folder:q} 2> {log:q}"


rule cognates:
    input:
        expand(rules.cognates_batch.output.cognates, batch=get_batches(molecule="trna")),


rule isotype_batch:
    input:
        matrix=rules.number_batch.output.matrix,
        records=rules.number_batch.output.records,
        others=lambda wildcards: expand(
            rules.number_batch.output.matrix, batch=get_trna_batches_to_predict()
        ),
    output:
        isotypes=f"{TRNA}/isotype/isotypes.tsv",
        confusion=f"{TRNA}/isotype/confusion.tsv",
        metrics=f"{TRNA}/isotype/metrics.json",
        suspects=report(
            f"{TRNA}/isotype/suspected_mislabels.tsv",
            caption="../report/suspects.rst",
            category="tRNA",
            labels={"batch": "{batch}", "table": "suspected isotypes"},
        ),
        predictions=[
            f"{TRNA}/isotype/{other}.predictions.tsv"
            for other in get_trna_batches_to_predict()
        ],
        provenance=f"{TRNA}/isotype/isotype.provenance.json",
    log:
        "<logs>/{batch}/isotype.log",
    benchmark:
        "<benchmarks>/{batch}/isotype.tsv"
    conda:
        "../../envs/omicsai.yaml"
    # sums in one order: the same bytes on every run
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        numbered=subpath(input.matrix, parent=True),
        others=lambda wildcards, input: [
            f"{batch}={Path(matrix).parent}"
            for batch, matrix in zip(get_trna_batches_to_predict(), input.others)
        ],
        options=get_options("isotype"),
        seed=settings.seed,
        folder=subpath(output.metrics, parent=True),
        code=code_digest("isotype"),
    shell:
        "omicsai isotype {params.numbered:q} --predict {params.others:q}"
        " {params.options:q} --seed {params.seed} --out {params.folder:q} 2> {log:q}"


rule isotype:
    input:
        expand(
            rules.isotype_batch.output.metrics,
            batch=get_batches(molecule="trna", trains=True),
        ),


rule pairing_batch:
    input:
        matrix=rules.number_batch.output.matrix,
        records=rules.number_batch.output.records,
        identity=rules.identity_batch.output.identity,
        synthetases=settings.pairing.synthetases or [],
        genomes=settings.pairing.genomes or [],
    output:
        pairs=f"{TRNA}/pairing/pairs.tsv",
        synthetases=f"{TRNA}/pairing/synthetases.tsv",
        covariation=f"{TRNA}/pairing/covariation.tsv",
        provenance=f"{TRNA}/pairing/pairing.provenance.json",
    log:
        "<logs>/{batch}/pairing.log",
    benchmark:
        "<benchmarks>/{batch}/pairing.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        numbered=subpath(input.matrix, parent=True),
        options=get_options("pairing"),
        seed=settings.seed,
        folder=subpath(output.pairs, parent=True),
        code=code_digest("pairing"),
    shell:
        "omicsai pairing {params.numbered:q} --identity {input.identity:q}"
        " {params.options:q} --seed {params.seed} --out {params.folder:q} 2> {log:q}"


rule pairing:
    input:
        expand(
            rules.pairing_batch.output.pairs,
            batch=get_batches(molecule="trna") if settings.pairing.synthetases else [],
        ),
