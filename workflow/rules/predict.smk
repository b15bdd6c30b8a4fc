"""From the model to labels, probabilities and novelty of a batch.

Inputs: model/, embeddings.h5 of the batch. Outputs: batches/{batch}/predictions.tsv.
"""


rule predict_batch:
    input:
        model="<results>/model/weights.safetensors",
        embeddings="<results>/batches/{batch}/embeddings.h5",
    output:
        predictions=report(
            "<results>/batches/{batch}/predictions.tsv",
            caption="../report/predictions.rst",
            category="Predictions",
            labels={"batch": "{batch}", "table": "predictions"},
        ),
        provenance="<results>/batches/{batch}/predict.provenance.json",
    log:
        "<logs>/{batch}/predict.log",
    benchmark:
        "<benchmarks>/{batch}/predict.tsv"
    conda:
        "../../envs/omicsai.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        model=subpath(input.model, parent=True),
        options=get_options("predict"),
        code=code_digest("predict"),
    shell:
        "omicsai predict {params.model:q} --embeddings {input.embeddings:q}"
        " {params.options:q} --out {output.predictions:q} 2> {log:q}"


rule predict:
    input:
        expand(
            rules.predict_batch.output.predictions,
            batch=get_batches(molecule="protein", predicts=True),
        ),
