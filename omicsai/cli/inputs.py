"""Reading what several commands take: sequences, labels and embeddings of batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.errors import InputError
from omicsai.sequences import Molecule, read_labels, read_sequences
from omicsai.sequences import Sequence as Record
from omicsai.sequences.labels import label_key

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from omicsai.robust import Classifier

__all__ = [
    "column_of",
    "labels_of",
    "pooled_labels",
    "pooled_sequences",
    "require_encoder",
    "seen_in_training",
]

logger = logging.getLogger(__name__)


def pooled_sequences(paths: Iterable[Path], molecule: Molecule = "protein") -> list[Record]:
    """Read sequences of several FASTA files; the same id must mean the same sequence."""
    pooled: dict[str, Record] = {}
    origin: dict[str, Path] = {}
    for path in paths:
        for record in read_sequences(path, molecule):
            other = pooled.get(record.id)
            if other is not None and other.residues != record.residues:
                raise InputError(
                    f"id '{record.id}' names one sequence in {origin[record.id]} and "
                    f"another in {path}: rename one of them"
                )
            pooled.setdefault(record.id, record)
            origin.setdefault(record.id, path)
    return list(pooled.values())


def pooled_labels(paths: Iterable[Path], column: str = "label") -> dict[str, str]:
    """Read label tables of several batches; known labels of one id must agree."""
    pooled: dict[str, str] = {}
    for path in paths:
        for key, label in read_labels(path, column=column).items():
            if label and pooled.get(key) and pooled[key] != label:
                raise InputError(
                    f"{path}: id '{key}' has the label '{label}' here and "
                    f"'{pooled[key]}' in another batch: correct one of them"
                )
            pooled[key] = label or pooled.get(key, "")
    return pooled


def column_of(paths: Iterable[Path], column: str) -> dict[str, str]:
    """Read one column of several tables by id; a later table fills what is empty."""
    found: dict[str, str] = {}
    for path in paths:
        for key, value in read_labels(path, column=column, unknown=("",)).items():
            found[key] = value or found.get(key, "")
    return found


def labels_of(ids: Sequence[str], labels: dict[str, str]) -> list[str]:
    """Label of each id (by id or accession), empty where the table has none."""
    keys = [label_key(labels, record_id) for record_id in ids]
    unmatched = len(labels.keys() - set(keys))
    if unmatched == len(labels) and labels:
        raise InputError(
            f"none of the {len(labels)} labels is for one of the {len(ids)} sequences; "
            f"the first label is for '{next(iter(labels))}', the first sequence is "
            f"'{ids[0] if ids else ''}'"
        )
    if unmatched:
        logger.warning("%d labels are for ids that are not among the sequences", unmatched)
    return [labels[key] if key is not None else "" for key in keys]


def require_encoder(classifier: Classifier, encoder: dict[str, str]) -> None:
    """Refuse embeddings of another encoder than the model was trained on."""
    from omicsai.embedding.encoders import same_encoder

    if not (classifier.encoder and encoder):
        return
    if not same_encoder(encoder, classifier.encoder):
        raise InputError(
            f"the embeddings come from {encoder.get('encoder')} ({encoder}), the model was "
            f"trained on {classifier.encoder}: embed with the same encoder"
        )


def rows_of(
    ids: Sequence[str], known: Sequence[str], problem: str, remedy: str
) -> list[int]:
    """Row of each id among the known ones; `problem` and `remedy` if one is not there."""
    row = {key: i for i, key in enumerate(known)}
    missing = [key for key in ids if key not in row]
    if missing:
        raise InputError(f"{len(missing)} {problem}, for example '{missing[0]}': {remedy}")
    return [row[key] for key in ids]


def seen_in_training(
    classifier: Classifier, examples: pd.DataFrame, ids: Sequence[str], vectors: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Tell which sequences a model has seen, also as copies under another id.

    Parameters
    ----------
    classifier
        The model.
    examples
        Its examples.tsv, indexed by id.
    ids, vectors
        Ids and raw embeddings (n, d) of the sequences.

    Returns
    -------
    seen, copies : (n,) bool
        Sequences not to evaluate on, and those of them that are copies.
    part, cluster : (n,) object
        Part of the split, ``new`` outside it; cluster, the own id outside it.
    """
    import numpy as np

    from omicsai.robust.neighbours import known_rows

    names = np.array(ids, dtype=object)
    trained = examples["part"].isin(["train", "validation", "removed"]).to_numpy()
    standard = classifier.standardise(vectors)
    row = known_rows(standard, names, classifier.reference, examples.index)
    same = (row >= 0) & (examples.index.to_numpy()[row] == names)
    by_id = same & trained[row]
    vectors_seen = {one.tobytes() for one in classifier.reference[trained]}
    copies = np.array([one.tobytes() in vectors_seen for one in standard]) & ~by_id
    if copies.any():
        logger.warning(
            "%d sequences equal a training sequence under another id and are left out",
            int(copies.sum()),
        )
    part, cluster = (examples[name].to_numpy(object)[row] for name in ("part", "cluster"))
    return (
        by_id | copies,
        copies,
        np.where(same, part, "new"),
        np.where(same, cluster, names),
    )
