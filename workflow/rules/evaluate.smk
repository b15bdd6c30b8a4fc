"""From the models to metrics on what they have not seen: test part, labelled batches.

Inputs: model/ and control/, embeddings.h5, records.tsv, identity_to_train.tsv. Outputs: evaluation/ and
batches/{batch}/evaluation/ with metrics.json, tested.tsv, calibration.tsv, confusion.tsv,
suspected_mislabels.tsv.
"""

EVALUATION = {
    "metrics": "metrics.json",
    "tested": "tested.tsv",
    "calibration": "calibration.tsv",
    "confusion": "confusion.tsv",
    "suspects": "suspected_mislabels.tsv",
    "provenance": "evaluate.provenance.json",
}


rule evaluate_model:
    input:
        model=rules.train_model.output.weights.replace("{model}", "model"),
        control=rules.train_model.output.weights.replace("{model}", "control"),
        embeddings=get_training_files("<results>/batches/{batch}/embeddings.h5"),
        labels=get_training_files("<results>/batches/{batch}/records.tsv"),
        identity="<results>/split/identity_to_train.tsv",
    output:
        **{name: f"<results>/evaluation/{file}" for name, file in EVALUATION.items()},
    log:
        "<logs>/evaluate.log",
    benchmark:
        "<benchmarks>/evaluate.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        model=subpath(input.model, parent=True),
        control=subpath(input.control, parent=True),
        identity=get_identity_arguments,
        options=get_options("evaluate"),
        seed=settings.seed,
        folder=subpath(output.metrics, parent=True),
        code=code_digest("evaluate"),
    shell:
        "omicsai evaluate {params.model:q} --control {params.control:q}"
        " --embeddings {input.embeddings:q} --labels {input.labels:q} {params.identity:q}"
        " {params.options:q} --seed {params.seed} --out {params.folder:q} 2> {log:q}"


use rule evaluate_model as evaluate_batch with:
    input:
        model=rules.evaluate_model.input.model,
        control=rules.evaluate_model.input.control,
        embeddings="<results>/batches/{batch}/embeddings.h5",
        labels="<results>/batches/{batch}/records.tsv",
    output:
        **{
            name: f"<results>/batches/{{batch}}/evaluation/{file}"
            for name, file in EVALUATION.items()
        },
    log:
        "<logs>/{batch}/evaluate.log",
    benchmark:
        "<benchmarks>/{batch}/evaluate.tsv"


rule evaluate:
    input:
        rules.evaluate_model.output.metrics,
        expand(rules.evaluate_batch.output.metrics, batch=get_evaluated_batches()),
