"""From embeddings, labels and split to a calibrated model and its suspected mislabels.

Inputs: embeddings.h5 and records.tsv of the training batches, split.tsv. Outputs: model/
and, with the control loss, control/.
"""

# what is known of the labels: of one a sequence, or of several
JUDGES = {"single": "detector.json", "multi": "multilabel.json"}


rule train_model:
    input:
        embeddings=get_training_files("<results>/batches/{batch}/embeddings.h5"),
        labels=get_training_files("<results>/batches/{batch}/records.tsv"),
        split="<results>/split/split.tsv",
        hierarchy=get_file(settings.train.hierarchy, "ec"),
    output:
        weights="<results>/{model}/weights.safetensors",
        description="<results>/{model}/model.json",
        examples="<results>/{model}/examples.tsv",
        history="<results>/{model}/history.tsv",
        pilot="<results>/{model}/pilot.tsv",
        judge=f"<results>/{{model}}/{JUDGES[settings.train.task]}",
        suspects=report(
            "<results>/{model}/suspected_mislabels.tsv",
            caption="../report/suspects.rst",
            category="Labels",
            labels={"model": "{model}", "table": "suspected mislabels"},
        ),
        provenance="<results>/{model}/train.provenance.json",
    log:
        "<logs>/{model}.log",
    benchmark:
        "<benchmarks>/{model}.tsv"
    conda:
        "../../envs/omicsai.yaml"
    # sums in one order: the same bytes on every run
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        options=get_train_options,
        seed=settings.seed,
        folder=subpath(output.weights, parent=True),
        code=code_digest("train"),
    shell:
        "omicsai train --embeddings {input.embeddings:q} --labels {input.labels:q}"
        " --split {input.split:q} {params.options:q} --seed {params.seed}"
        " --out {params.folder:q} 2> {log:q}"


rule train:
    input:
        expand(rules.train_model.output.weights, model=["model", "control"]),
        # that another task makes other files is what makes it run again
        expand(rules.train_model.output.judge, model=["model", "control"]),
