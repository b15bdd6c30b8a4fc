"""Configuration, batches, and the helpers that rules share."""

from pathlib import Path

from omicsai.batches import HEADER_LABELS, read_batches
from omicsai.code import code_digest
from omicsai.config import BUILTIN, PFAM, SHIPPED_ENCODERS, read_config
from omicsai.simulate.files import EXAMPLE_FOLDER, FILES, TRNA_FILES

settings = read_config(config, workflow.configfiles)
EXAMPLE = {
    name: f"{EXAMPLE_FOLDER}/{file}" for name, file in (FILES | TRNA_FILES).items()
}


def get_organisms():
    """Organisms that the identity table of tRNAs has elements for."""
    from omicsai.trna import read_identity

    return set(read_identity(path=settings.identity.table)["organism"])


batches = read_batches(
    settings.batches, generated=EXAMPLE.values(), organisms=get_organisms
)


def get_batches(**wanted):
    """Names of the batches whose attributes have these values."""
    return [
        name
        for name, batch in batches.items()
        if all(getattr(batch, key) == value for key, value in wanted.items())
    ]


def get_training_batches():
    """Names of the protein batches that are learned from."""
    names = get_batches(molecule="protein", trains=True)
    if not names:
        raise ValueError(
            f"{settings.batches} has no protein batch with the role 'train' or 'both': "
            "there is nothing to learn from"
        )
    return names


def get_arguments(section, **instead):
    """Options of a stage as command-line arguments; of a batch's own where it has one."""
    arguments = []
    for name, value in getattr(settings, section):
        value = instead.get(name) or value
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, list):
            arguments += [flag, *map(str, value)]
        elif value is not None:
            # joined by '=', because a value may begin with a hyphen
            arguments.append(f"{flag}={value}")
    return arguments


def get_options(section):
    """Arguments of a stage as a function: in a plain value braces would be wildcards."""
    return lambda wildcards: get_arguments(section)


def get_training_files(pattern):
    """Files of all training batches, in the order of the table."""
    return lambda wildcards: expand(pattern, batch=get_training_batches())


def get_label_table(wildcards):
    """Label table of a batch as an input file, if it has one."""
    labels = batches[wildcards.batch].labels
    return [] if labels in ("", HEADER_LABELS) else labels


def get_label_arguments(wildcards):
    """--labels of a batch, if it has any."""
    labels = batches[wildcards.batch].labels
    return ["--labels", labels] if labels else []


def get_annotation_files(wildcards):
    """Files that annotate reads: the library if it is a file, clans and GO terms."""
    annotate = settings.annotate
    values = (annotate.profiles, annotate.clans, annotate.go)
    return [v for v in values if get_file(v, BUILTIN, PFAM)]


def get_file(value, *words):
    """An option as an input file, if it names one: it is set, no address, none of words."""
    return [] if not value or "://" in value or value in words else value


def get_encoder_files(wildcards):
    """Files of an encoder that is a folder."""
    folder = Path(settings.embed.encoder)
    return sorted(map(str, folder.glob("*"))) if folder.is_dir() else []


def get_gpu(wildcards):
    """One GPU for a language model that may use it, none for the shipped encoders."""
    embed = settings.embed
    return int(embed.encoder not in SHIPPED_ENCODERS and embed.device != "cpu")


def get_shards(pattern):
    """Files of the jobs that share a batch's embedding; none if there is one job."""
    shards = settings.embed.shards
    return lambda wildcards: (
        expand(pattern, batch=wildcards.batch, shard=range(1, shards + 1))
        if shards > 1
        else []
    )


def get_train_options(wildcards):
    """Options of the model, or of its control, whose loss is another one.

    What the configuration leaves open is chosen for each.
    """
    options = get_arguments("train")
    if wildcards.model == "control":  # of an option given twice, the last one counts
        several = settings.train.task == "multi"
        loss = "bce" if several else settings.control
        options += [f"--multilabel-loss={loss}" if several else f"--loss={loss}"]
        if settings.train.unknown == "pseudo" and loss != "proselflc":
            options += ["--unknown=mask"]  # only ProSelfLC finds labels out
    return options


def get_identity_arguments(wildcards, input):
    """--identity-to-train of the test part; batches outside the split have none."""
    identity = input.get("identity")
    return ["--identity-to-train", identity] if identity else []


def get_evaluated_batches():
    """Labelled protein batches that the model has not learned from."""
    names = get_batches(molecule="protein", trains=False)
    return [name for name in names if batches[name].labels]


def get_trna_batches_to_predict():
    """Names of the tRNA batches whose isotypes are predicted and not learned from."""
    return get_batches(molecule="trna", trains=False)


def get_truth(wildcards):
    """The example's truth, if a batch is the simulated example."""
    known = any(batch.fasta == EXAMPLE["known"] for batch in batches.values())
    return EXAMPLE["truth"] if known else []


def get_trna_truth(wildcards):
    """Truth of the simulated tRNAs, if a batch is the simulated example."""
    known = any(batch.fasta == EXAMPLE["trnas"] for batch in batches.values())
    return EXAMPLE["trna_truth"] if known else []


wildcard_constraints:
    batch="|".join(batches),
    model="model|control",
    shard=r"\d+",
