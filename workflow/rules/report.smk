"""From the tables of all stages to one self-contained page.

Inputs: everything; in a run of tRNAs alone, their tables. Outputs: report.html.
"""


rule write_report:
    input:
        rules.check.input,
        (
            [
                rules.split.input,
                rules.annotate.input,
                rules.embed.input,
                rules.train.input,
                rules.evaluate.input,
                rules.predict.input,
            ]
            if get_batches(molecule="protein")
            else []
        ),
        rules.number.input,
        rules.identity.input,
        rules.distance.input,
        rules.cognates.input,
        rules.isotype.input,
        rules.pairing.input,
        truth=get_truth,
        trna_truth=get_trna_truth,
    output:
        page=report(
            "<results>/report.html",
            caption="../report/page.rst",
            category="Report",
            labels={"page": "report"},
        ),
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        results=subpath(output.page, parent=True),
        batches=list(batches),
        truth=lambda wildcards, input: ["--truth", input.truth] if input.truth else [],
        trna_truth=lambda wildcards, input: (
            ["--trna-truth", input.trna_truth] if input.trna_truth else []
        ),
        options=get_options("report"),
        seed=settings.seed,
        code=code_digest("report"),
    shell:
        "omicsai report {params.results:q} --batches {params.batches:q} {params.truth:q}"
        " {params.trna_truth:q} {params.options:q} --seed {params.seed} --out {output.page:q} 2> {log:q}"


rule report:
    input:
        rules.write_report.output.page,
