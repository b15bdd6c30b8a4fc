"""What the report tells: every table and number of a results folder, read once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from omicsai.errors import InputError

if TYPE_CHECKING:
    from omicsai.robust import Classifier, Detector
    from omicsai.tables import Table

__all__ = ["Batch", "Sequences", "Story", "read_sequences", "read_story"]


@dataclass(frozen=True)
class Batch:
    """Tables of one batch; None where a stage does not apply to it."""

    name: str
    records: pd.DataFrame
    duplicates: pd.DataFrame
    rejected: pd.DataFrame
    domains: pd.DataFrame | None = None
    architectures: pd.DataFrame | None = None
    predictions: pd.DataFrame | None = None
    metrics: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """What every page of proteins shows: their batches, split and domains, and the jobs."""

    batches: list[Batch]
    split: pd.DataFrame
    clusters: pd.DataFrame
    crossing: pd.DataFrame
    removed: pd.DataFrame
    comparison: pd.DataFrame
    identity_to_train: pd.DataFrame
    audit: dict[str, Any]
    examples: pd.DataFrame
    provenance: dict[str, dict[str, Any]]
    times: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Story(Sequences):
    """Everything the page of one label a sequence shows."""

    metrics: dict[str, Any]
    calibration: pd.DataFrame
    tested: pd.DataFrame
    history: dict[str, pd.DataFrame]
    pilot: pd.DataFrame
    suspects: pd.DataFrame
    classifier: Classifier
    detector: Detector
    truth: pd.DataFrame | None = None
    map: pd.DataFrame = field(default_factory=pd.DataFrame)
    domain_map: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_story(results: Path, batches: list[str], truth: Path | None = None) -> Story:
    """Read a results folder in the layout that the workflow writes.

    Parameters
    ----------
    results
        The results folder.
    batches
        Names of the batches to tell about, in order.
    truth
        Truth of the simulated example, if that is what the batches are.

    Returns
    -------
    Story
        Without the map, which is computed, not read.

    Raises
    ------
    InputError
        If a table of a stage that always runs is missing or broken.
    """
    from omicsai.robust import load_classifier
    from omicsai.robust.detection import load_detector
    from omicsai.robust.evaluation import CALIBRATION, TESTED
    from omicsai.robust.mislabels import SUSPECTS
    from omicsai.robust.pilot import PILOT
    from omicsai.robust.prediction import PREDICTIONS
    from omicsai.robust.train import HISTORY
    from omicsai.simulate import TRUTH

    metrics = read_json(results / "evaluation" / "metrics.json")
    if "control" not in metrics:
        raise InputError(
            f"{results / 'evaluation'} was made without a control: run 'omicsai evaluate' "
            "with --control"
        )
    suspects = [
        SUSPECTS.read(folder / "suspected_mislabels.tsv")
        for folder in (results / "model", results / "evaluation")
    ]
    return Story(
        **vars(read_sequences(results, batches, PREDICTIONS)),
        metrics=metrics,
        calibration=CALIBRATION.read(results / "evaluation" / "calibration.tsv"),
        tested=TESTED.read(results / "evaluation" / "tested.tsv"),
        history={
            name: HISTORY.read(results / name / "history.tsv")
            for name in ("model", "control")
        },
        pilot=PILOT.read(results / "model" / "pilot.tsv"),
        suspects=pd.concat(suspects, ignore_index=True),
        classifier=load_classifier(results / "model"),
        detector=load_detector(results / "model" / "detector.json"),
        truth=TRUTH.read(truth) if truth is not None else None,
    )


def read_sequences(results: Path, batches: list[str], predictions: Table) -> Sequences:
    """Read what the stages before training wrote, and the predictions.

    Parameters
    ----------
    results, batches
        As in `read_story`.
    predictions
        Layout of ``predictions.tsv``.

    Raises
    ------
    InputError
        If a table of a stage that always runs is missing or broken.
    """
    from omicsai.homology import (
        CLUSTERS,
        COMPARISON,
        CROSSING,
        IDENTITY_TO_TRAIN,
        REMOVED,
        SPLIT,
    )
    from omicsai.robust.mislabels import EXAMPLES

    split = results / "split"
    return Sequences(
        batches=[
            _read_batch(results / "batches" / name, name, predictions) for name in batches
        ],
        split=SPLIT.read(split / "split.tsv"),
        clusters=CLUSTERS.read(split / "clusters.tsv"),
        crossing=CROSSING.read(split / "crossing.tsv"),
        removed=REMOVED.read(split / "removed.tsv"),
        comparison=COMPARISON.read(split / "comparison.tsv"),
        identity_to_train=IDENTITY_TO_TRAIN.read(split / "identity_to_train.tsv"),
        audit=read_json(split / "audit.json"),
        examples=EXAMPLES.read(results / "model" / "examples.tsv"),
        provenance=read_provenance(results, batches),
        times=read_times(results / "benchmarks", batches),
    )


def _read_batch(folder: Path, name: str, predictions: Table) -> Batch:
    from omicsai.domains import ARCHITECTURES, DOMAINS
    from omicsai.sequences.check import DUPLICATES, RECORDS, REJECTED

    def optional(table: Any, file: str) -> pd.DataFrame | None:
        return table.read(folder / file) if (folder / file).is_file() else None

    metrics = folder / "evaluation" / "metrics.json"
    return Batch(
        name=name,
        records=RECORDS.read(folder / "records.tsv"),
        duplicates=DUPLICATES.read(folder / "duplicates.tsv"),
        rejected=REJECTED.read(folder / "rejected.tsv"),
        domains=optional(DOMAINS, "domains.tsv"),
        architectures=optional(ARCHITECTURES, "architectures.tsv"),
        predictions=optional(predictions, "predictions.tsv"),
        metrics=read_json(metrics) if metrics.is_file() else None,
    )


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: run the stage that makes it") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not readable JSON: {error}") from error


def read_provenance(results: Path, batches: list[str]) -> dict[str, dict[str, Any]]:
    """Provenance records by stage and, where there is one, batch."""
    files = {
        "split": results / "split" / "split.provenance.json",
        "train (model)": results / "model" / "train.provenance.json",
        "train (control)": results / "control" / "train.provenance.json",
        "evaluate": results / "evaluation" / "evaluate.provenance.json",
    }
    for name in batches:
        for stage in ("check", "annotate", "embeddings", "predict"):
            file = results / "batches" / name / f"{stage}.provenance.json"
            files[f"{stage.replace('embeddings', 'embed')} ({name})"] = file
        for stage in ("number", "identity", "distance", "cognates", "isotype", "pairing"):
            folder = "trna" if stage == "number" else stage
            file = results / "batches" / name / folder / f"{stage}.provenance.json"
            files[f"{stage} ({name})"] = file
    return {key: read_json(file) for key, file in files.items() if file.is_file()}


def read_times(folder: Path, batches: list[str]) -> pd.DataFrame:
    """Seconds and peak memory of each job, from Snakemake's benchmark files."""
    places = [(folder, "")] + [(folder / name, name) for name in batches]
    rows = []
    for place, batch in places:
        for file in sorted(place.glob("*.tsv")):
            table = pd.read_csv(file, sep="\t")
            if {"s", "max_rss"} <= set(table.columns) and len(table):
                rows.append(
                    {
                        "job": file.stem,
                        "batch": batch,
                        "seconds": float(table["s"].iloc[-1]),
                        "peak_memory_mb": pd.to_numeric(
                            table["max_rss"], errors="coerce"
                        ).iloc[-1],
                    }
                )
    return pd.DataFrame(rows, columns=["job", "batch", "seconds", "peak_memory_mb"])
