"""Configuration, batches, and the helpers that rules share."""

from pathlib import Path

from omicsai.batches import HEADER_LABELS, read_batches
from omicsai.code import code_digest
from omicsai.config import read_config
from omicsai.simulate.files import EXAMPLE_FOLDER, FILES

settings = read_config(config, workflow.configfiles)
EXAMPLE = {name: f"{EXAMPLE_FOLDER}/{file}" for name, file in FILES.items()}
batches = read_batches(settings.batches, generated=EXAMPLE.values())


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


def get_options(section):
    """Options of a stage as command-line arguments."""
    arguments = []
    for name, value in getattr(settings, section):
        if value is not None:
            values = value if isinstance(value, list) else [value]
            arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    return arguments


def get_training_files(pattern):
    """Files of all training batches, in the order of the table."""
    return lambda wildcards: expand(pattern, batch=get_training_batches())


wildcard_constraints:
    batch="|".join(batches),
    model="model|control",
