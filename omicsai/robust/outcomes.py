"""What methods did in the noise laboratory, and its summary over seeds and clusters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.special import softmax

from omicsai.robust.metrics import METRICS, metric_draws, metric_values, resampled_weights
from omicsai.tables import Column, Table, atomic_path

__all__ = [
    "DYNAMICS", "RUNS", "STATES", "SUMMARY", "Outcome", "Run", "joined", "load_outcome",
    "run_rows", "save_outcome", "summary_rows",
]  # fmt: skip

STATES = ("last", "best")
_RUN = (
    Column("method", "text", "loss, or variant of one"),
    Column("noise", "text", "kind of noise planted in training and validation"),
    Column("rate", "number", "share of labels made wrong"),
)
_STATE = Column("state", "text", "last, or best on the (noisy) validation labels")
MEASURED = (*METRICS, "calibrated_nll", "calibrated_ece")
RUNS = Table(
    "runs",
    (
        *_RUN,
        Column("seed", "integer", "seed of the planted labels, from --seed on"),
        _STATE,
        Column("epoch", "integer", "epochs done in that state"),
        *(Column(name, "number", f"{name} on the test part, raw") for name in METRICS),
        Column("calibrated_nll", "number", "nll after temperature scaling on validation"),
        Column("calibrated_ece", "number", "ece after temperature scaling on validation"),
        Column("wrong_fit", "number", "wrong training labels that are predicted"),
        Column("corrected", "number", "wrong training labels whose true one is predicted"),
        Column("transit", "number", "ProSelfLC's transit, empty for others"),
    ),
)
SUMMARY = Table(
    "summary",
    (
        *_RUN,
        _STATE,
        Column("metric", "text", "measured on the test part, mean of the seeds"),
        Column("value", "number", "its value"),
        Column("low", "number", "lower end of the 95 % interval over clusters"),
        Column("high", "number", "upper end"),
        Column("difference", "number", "value less that of the reference in this state"),
        Column("difference_low", "number", "lower end of the 95 % interval over clusters"),
        Column("difference_high", "number", "upper end"),
    ),
)
DYNAMICS = Table(
    "dynamics",
    (
        *_RUN,
        Column("epoch", "integer", "epochs done"),
        Column(
            "subset",
            "text",
            "clean: right training labels; wrong: the wrong ones, as given; corrected: the "
            "same sequences, true labels; test",
        ),
        Column("accuracy", "number", "share of those labels predicted, mean of the seeds"),
        Column("confidence", "number", "mean largest probability, mean of the seeds"),
    ),
)
Run = tuple[str, str, float]  # method, kind of noise, rate


@dataclass(frozen=True)
class Outcome:
    """What one method did under one condition.

    Attributes
    ----------
    logits
        (2, seeds, t, C) float32 of the test part, in the two `STATES`.
    temperature, wrong_fit, corrected
        (2, seeds) calibration on validation; shares of the wrong training labels.
    epoch
        (2, seeds) epochs done in each state.
    transit
        (seeds,) ProSelfLC's, NaN for others.
    pilot
        (seeds,) share of the training at which the validation loss was lowest.
    dynamics
        `DYNAMICS` rows, without method and condition.
    """

    logits: NDArray[np.float32]
    temperature: NDArray[np.float64]
    wrong_fit: NDArray[np.float64]
    corrected: NDArray[np.float64]
    epoch: NDArray[np.int64]
    transit: NDArray[np.float64]
    pilot: NDArray[np.float64]
    dynamics: list[dict]


ARRAYS = ("logits", "temperature", "wrong_fit", "corrected", "epoch", "transit", "pilot")


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Make one outcome of several that differ in their seeds."""
    arrays = {
        name: np.concatenate(
            [getattr(one, name) for one in outcomes],
            axis=0 if name in ("transit", "pilot") else 1,
        )
        for name in ARRAYS
    }
    dynamics = pd.DataFrame([row for one in outcomes for row in one.dynamics])
    means = dynamics
    if len(dynamics):
        means = dynamics.groupby(["epoch", "subset"], sort=False).mean().reset_index()
    return Outcome(**arrays, dynamics=means.to_dict("records"))


def save_outcome(outcome: Outcome, path: Path, key: str) -> None:
    """Write an outcome into one ``.safetensors`` file, atomically."""
    # one entry, because safetensors writes several in an order of chance
    about = json.dumps({"key": key, "dynamics": outcome.dynamics})
    arrays = {name: np.ascontiguousarray(getattr(outcome, name)) for name in ARRAYS}
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, metadata={"about": about})


def load_outcome(path: Path, key: str) -> Outcome | None:
    """Read an outcome; None if there is none, or one of other data or settings."""
    try:
        with safe_open(path, framework="np") as stored:
            about = json.loads(stored.metadata()["about"])
            if about["key"] != key:
                return None
            arrays = {name: stored.get_tensor(name) for name in ARRAYS}
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
    return Outcome(**arrays, dynamics=about["dynamics"])


def run_rows(
    run: Run, outcome: Outcome, labels: NDArray[np.int64], *, first_seed: int = 1
) -> list[dict]:
    """Rows of `RUNS` of one outcome; `labels` (t,) are those of the test part."""
    rows = []
    for s, state in enumerate(STATES):
        for seed, logits in enumerate(outcome.logits[s].astype(np.float64)):
            raw = metric_values(softmax(logits, axis=1), labels)
            scaled = metric_values(
                softmax(logits / outcome.temperature[s, seed], axis=1), labels
            )
            rows.append(
                {
                    **dict(zip(("method", "noise", "rate"), run, strict=True)),
                    "seed": first_seed + seed,
                    "state": state,
                    "epoch": outcome.epoch[s, seed],
                    **raw,
                    "calibrated_nll": scaled["nll"],
                    "calibrated_ece": scaled["ece"],
                    "wrong_fit": outcome.wrong_fit[s, seed],
                    "corrected": outcome.corrected[s, seed],
                    "transit": outcome.transit[seed],
                }
            )
    return rows


def metric_means(
    outcome: Outcome, state: int, labels: NDArray[np.int64], weights: NDArray
) -> dict[str, NDArray[np.float64]]:
    """Means over seeds of each metric of `MEASURED`, for each row of weights: (R,)."""
    drawn: dict[str, list[NDArray]] = {name: [] for name in MEASURED}
    for logits, temperature in zip(
        outcome.logits[state].astype(np.float64), outcome.temperature[state], strict=True
    ):
        raw = metric_draws(softmax(logits, axis=1), labels, weights)
        scaled = metric_draws(softmax(logits / temperature, axis=1), labels, weights)
        for name in METRICS:
            drawn[name].append(raw[name])
        for name in ("nll", "ece"):
            drawn[f"calibrated_{name}"].append(scaled[name])
    return {name: np.mean(values, axis=0) for name, values in drawn.items()}


def summary_rows(
    outcomes: Mapping[Run, Outcome],
    labels: NDArray[np.int64],
    cluster: NDArray,
    reference: str,
    *,
    resamples: int = 300,
    seed: int = 1,
) -> pd.DataFrame:
    """Means over seeds with intervals over clusters, beside a reference method.

    Parameters
    ----------
    outcomes
        By method, kind of noise and rate.
    labels, cluster
        (t,) true class indices and clusters of the test part.
    reference
        Method that the others are compared with, where it has an outcome.
    resamples, seed
        Bootstrap over clusters; the same resamples for all, so differences are paired.

    Returns
    -------
    pandas.DataFrame
        The `SUMMARY` table.
    """
    drawn = resampled_weights(cluster, resamples=resamples, seed=seed)
    weights = np.concatenate([np.ones((1, len(labels))), drawn])  # first the data itself
    rows = []
    means = {
        (run, state): metric_means(outcome, s, labels, weights)
        for run, outcome in outcomes.items()
        for s, state in enumerate(STATES)
    }
    for (run, state), found in means.items():
        other = means.get(((reference, *run[1:]), state))
        for metric, values in found.items():
            row = dict(zip(("method", "noise", "rate"), run, strict=True))
            row |= {"state": state, "metric": metric, **_interval(values, "value", "")}
            compared = np.full_like(values, np.nan) if other is None else other[metric]
            row |= _interval(values - compared, "difference", "difference_")
            rows.append(row)
    return SUMMARY.frame(rows)


def _interval(values: NDArray, name: str, prefix: str) -> dict[str, float]:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return {name: values[0], f"{prefix}low": low, f"{prefix}high": high}
