"""The page: sections from the story, rendered by a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from omicsai.report import domains, figures
from omicsai.report.dynamics import trust_curves
from omicsai.report.leakage import identity_to_train, leaking_sequences
from omicsai.report.story import Batch, Sequences, Story
from omicsai.report.trna import TrnaBatch
from omicsai.report.trust import noise_matrix
from omicsai.robust.options import LOSSES
from omicsai.sequences import split_labels
from omicsai.sequences.check import UNMATCHED_LABEL
from omicsai.version import __version__

__all__ = [
    "render_page", "render_trna_page", "sequence_sections", "shown_table", "told_apart",
    "trna_tables",
]  # fmt: skip

SHOWN_ROWS = 10  # visible before "show all"
LONG_TEXT = 28  # characters of a cell that may wrap
PAGE_ROWS = 1000  # rows of a table that go into the page; the file has the rest
METRIC_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "mcc": "Matthews correlation",
    "nll": "negative log-likelihood",
    "ece": "expected calibration error",
}


@dataclass(frozen=True)
class Shown:
    """A table as the template shows it."""

    name: str
    columns: list[str]
    kinds: list[str]
    rows: list[list[str]]
    total: int


def render_page(story: Story, *, title: str, trna: Sequence[TrnaBatch] = ()) -> str:
    """Render the report as one self-contained HTML page.

    Parameters
    ----------
    story
        From `read_story`, with its map filled in.
    title
        Title of the page.
    trna
        tRNA batches, from `read_trna_batches`.

    Returns
    -------
    str
        HTML with style, script, figures and tables inside; it loads nothing.
    """
    return (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            version=__version__,
            story=story,
            trna=trna,
            trna_tables={batch.name: trna_tables(batch) for batch in trna},
            **_context(story),
        )
    )


def render_trna_page(
    trna: Sequence[TrnaBatch],
    provenance: Mapping[str, Any],
    times: pd.DataFrame,
    *,
    title: str,
) -> str:
    """Render the page of a run whose batches are all tRNAs.

    Parameters
    ----------
    trna
        tRNA batches, from `read_trna_batches`.
    provenance
        Records by stage.
    times
        Seconds and memory of each job.
    title
        Title of the page.
    """
    return (
        environment()
        .get_template("trna_page.html")
        .render(
            title=title,
            version=__version__,
            trna=trna,
            trna_tables={batch.name: trna_tables(batch) for batch in trna},
            provenance=provenance,
            times=_table("times", times),
            shown_rows=SHOWN_ROWS,
        )
    )


def environment() -> Environment:
    """Make the environment that all pages are rendered in."""
    made = Environment(
        loader=PackageLoader("omicsai.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": _percent, "number": _number, "signed": _signed}
    return made


def trna_tables(batch: TrnaBatch) -> list[tuple[Shown, str]]:
    """Tables of a tRNA batch with their captions."""
    tables = [
        ("cognates", batch.cognates, "tRNAs by orthogonality to the host's synthetases"),
        ("suspected_isotypes", batch.suspects, "Suspected isotypes"),
        ("contradicted", batch.contradicted, "Identity elements these genes contradict"),
        ("not_ok", batch.not_ok, "tRNAs whose numbering is not ok"),
    ]
    return [
        (_table(f"{name}_{batch.name}", frame), caption)
        for name, frame, caption in tables
        if frame is not None
    ]


def _best_by_method(pilot: pd.DataFrame) -> list[dict[str, Any]]:
    """Best decay of each head and loss that pilot runs tried, best first."""
    best = pilot.drop_duplicates(["head", "loss"])
    return best.assign(loss=best["loss"].map(LOSSES)).to_dict("records")


def _context(story: Story) -> dict[str, Any]:
    """Everything the template shows besides the story itself."""
    metrics = story.metrics
    losses = {"model": metrics["loss"], "control": metrics["control"]["loss"]}
    names = told_apart({which: LOSSES[loss] for which, loss in losses.items()})
    shared = sequence_sections(story)
    predicted = [batch for batch in story.batches if batch.predictions is not None]
    novel = pd.concat(
        [
            batch.predictions[batch.predictions["novel"]].assign(batch=batch.name)
            for batch in predicted
            if batch.predictions is not None
        ]
        or [pd.DataFrame()],
        ignore_index=True,
    )
    return shared | {
        "losses": losses,
        "loss_names": names,
        "one_loss": losses["model"] == losses["control"],
        "pilot": _best_by_method(story.pilot),
        "metric_names": METRIC_NAMES,
        "classes": story.classifier.classes,
        "control_truth": _positive_control(story),
        "truth_metrics": _against_truth(story),
        "predicted": predicted,
        "novel_count": len(novel),
        "novel_fdr": _option(story, "predict", "novel_fdr", 0.1),
        "noise_rates": sorted(story.detector.rates),
        "expected_wrong": float(story.suspects["wrong_probability"].sum()),
        "map_kinds": set(story.map["kind"]),
        "figures": {
            **shared["figures"],
            "domain_map": (
                figures.embedding_map(
                    story.domain_map, story.classifier.classes, name="domain_map"
                )
                if len(story.domain_map)
                else None
            ),
            "map": figures.embedding_map(story.map, story.classifier.classes),
            "learning": figures.learning_curves(story.history, names),
            "trust": (
                trust_curves(story.history, names)
                if "proselflc" in losses.values()
                else None
            ),
            "reliability": figures.reliability(story.calibration, names),
            "noise_matrix": noise_matrix(
                story.detector.anchored.transition, story.classifier.classes
            ),
            "novelty": (
                figures.novelty(
                    story.classifier.novelty_calibration,
                    {
                        batch.name: batch.predictions["novelty"].to_numpy(dtype=float)
                        for batch in predicted
                        if batch.predictions is not None
                    },
                    float(novel["novelty"].min()) if len(novel) else np.inf,
                )
                if predicted
                else None
            ),
        },
        "tables": {
            **shared["tables"],
            "suspects": _table("suspected_mislabels", _suspects(story)),
            "novel": _table("novel", novel),
            "predictions": {
                batch.name: _table(f"predictions_{batch.name}", batch.predictions)
                for batch in predicted
                if batch.predictions is not None
            },
        },
    }


def told_apart(names: dict[str, str]) -> dict[str, str]:
    """Names of the models' losses; where they are the same one, with whose it is."""
    if len(set(names.values())) == len(names):
        return names
    return {which: f"{name} ({which})" for which, name in names.items()}


def sequence_sections(story: Sequences) -> dict[str, Any]:
    """Everything the sections on data, split, domains and provenance show."""
    proteins = [batch for batch in story.batches if batch.domains is not None]
    tables = {
        "rejected": _stack(story, "rejected")[["batch", "id", "file", "line", "reason"]],
        "duplicates": _stack(story, "duplicates"),
        "clusters": story.clusters,
        "crossing": story.crossing,
        "removed": story.removed,
        "comparison": story.comparison,
        **domains.domain_tables(story, proteins),
        "times": story.times,
    }
    return {
        "counts": _counts(story),
        "set_aside": {
            batch.name: int((~_is_unmatched_label(batch)).sum()) for batch in story.batches
        },
        "domain_summary": domains.summary(proteins),
        "resolution": _option(story, "annotate", "resolution", "strict"),
        "figures": {
            "labels": figures.label_counts(_labels_by_part(story)),
            "leaking": (
                leaking_sequences(story.comparison) if len(story.comparison) else None
            ),
            "identity_to_train": identity_to_train(
                story.identity_to_train,
                story.audit["definition"]["identity_threshold"],
            ),
            **domains.domain_figures(proteins),
            "domain_map": None,
        },
        "tables": {
            **{name: _table(name, frame) for name, frame in tables.items()},
            "family_changes": {
                name: _table(f"family_changes_{name}", frame)
                for name, frame in domains.changes(proteins).items()
            },
        },
        "shown_rows": SHOWN_ROWS,
    }


def _counts(story: Sequences) -> dict[str, int]:
    usable = sum(len(batch.records) for batch in story.batches)
    merged = sum(len(batch.duplicates) for batch in story.batches)
    labels = sum(int(_is_unmatched_label(batch).sum()) for batch in story.batches)
    return {
        "usable": usable,
        "merged": merged,
        "unmatched_labels": labels,
        "conflicts": sum(int(b.records["label_conflict"].sum()) for b in story.batches),
        "labelled": int((story.examples["label"] != "").sum()),
        "training": len(story.split),
    }


def _is_unmatched_label(batch: Batch) -> pd.Series:
    """Which rows of the table of rejects are labels without a record."""
    return batch.rejected["reason"].str.startswith(UNMATCHED_LABEL)


def _positive_control(story: Story) -> list[dict[str, Any]]:
    """How much of what the simulation planted was found; empty for real data."""
    if story.truth is None:
        return []
    truth = story.truth.set_index("id")
    part = story.split.set_index("id")["part"]
    judged = story.examples[story.examples["label"] != ""]["id"]
    planted = {key for key in judged if key in truth.index and truth.at[key, "mislabelled"]}
    named = set(story.suspects["id"])
    found = planted & named
    right = [
        truth.at[row.id, "true_label"] == row.proposed
        for row in story.suspects.itertuples()
        if row.id in planted
    ]
    rows: list[dict[str, Any]] = [
        {
            "what": "wrong labels",
            "planted": len(planted),
            "found": len(found),
            "false": len(named - planted),
            "note": f"{sum(right)} with the right label proposed",
        }
    ]
    copies = story.truth[story.truth["near_duplicate_of"] != ""]
    pairs = [
        (row.id, row.near_duplicate_of)
        for row in copies.itertuples()
        if row.id in part.index and row.near_duplicate_of in part.index
    ]
    together = sum(part[a] == part[b] for a, b in pairs)
    rows.append(
        {
            "what": "near-duplicate pairs",
            "planted": len(pairs),
            "found": together,
            "false": None,
            "note": f"kept in one part; {len(pairs) - together} leak",
        }
    )
    for batch in story.batches:
        if batch.predictions is None:
            continue
        known = batch.predictions[batch.predictions["id"].isin(truth.index)]
        novel = truth.loc[known["id"], "novel"].to_numpy(dtype=bool)
        called = known["novel"].to_numpy(dtype=bool)
        rows.append(
            {
                "what": f"novel proteins in '{batch.name}'",
                "planted": int(novel.sum()),
                "found": int((novel & called).sum()),
                "false": int((~novel & called).sum()),
                "note": "at a false-discovery rate of "
                f"{_option(story, 'predict', 'novel_fdr', 0.1):g}",
            }
        )
    return rows


def _against_truth(story: Story) -> dict[str, float]:
    """Accuracy against the simulated truth rather than the noisy given labels."""
    if story.truth is None:
        return {}
    truth = story.truth.set_index("id")["true_label"]
    tested = story.tested
    true = truth.reindex(tested["id"]).to_numpy()
    values = {
        "model": float((tested["predicted"].to_numpy() == true).mean()),
        "control": float((tested["control_predicted"].to_numpy() == true).mean()),
    }
    for batch in story.batches:
        if batch.predictions is not None:
            known = batch.predictions[
                batch.predictions["id"].isin(truth[truth != ""].index)
            ]
            if len(known):
                hit = truth.loc[known["id"]].to_numpy() == known["label"].to_numpy()
                values[batch.name] = float(hit.mean())
    return values


def _labels_by_part(story: Sequences) -> pd.DataFrame:
    """Count each label (rows, most frequent first) by part (columns)."""
    cells = [
        (label, part)
        for cell, part in zip(story.examples["label"], story.examples["part"], strict=True)
        for label in (split_labels(cell) or ["unknown"])
    ]
    frame = pd.DataFrame(cells, columns=["label", "part"])
    counts = pd.crosstab(frame["label"], frame["part"])
    parts = [p for p in ("train", "validation", "test", "removed") if p in counts]
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    order = [name for name in order if name != "unknown"] + ["unknown"] * (
        "unknown" in order
    )
    return counts.loc[order, parts]


def _stack(story: Sequences, attribute: str) -> pd.DataFrame:
    tables = [getattr(batch, attribute) for batch in story.batches]
    named = [t.assign(batch=b.name) for t, b in zip(tables, story.batches, strict=True)]
    frame = pd.concat(named, ignore_index=True)
    return frame[["batch", *[name for name in frame if name != "batch"]]]


def _suspects(story: Story) -> pd.DataFrame:
    """Suspected mislabels with the domain architecture of each."""
    found = [b.architectures for b in story.batches if b.architectures is not None]
    frame = story.suspects.drop(columns="cluster")
    if found:
        by_id = pd.concat(found).drop_duplicates("id").set_index("id")["architecture"]
        frame["architecture"] = by_id.reindex(frame["id"]).fillna("").to_numpy()
    if story.truth is not None:
        true = story.truth.set_index("id")["true_label"].reindex(frame["id"])
        frame["true_label"] = true.fillna("").to_numpy()
    order = np.argsort(-frame["wrong_probability"].to_numpy(), kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def _option(story: Sequences, stage: str, name: str, otherwise: Any) -> Any:
    """Value that a stage ran with."""
    for key, record in story.provenance.items():
        if key.startswith(stage):
            return record["options"][name]
    return otherwise


def _table(name: str, frame: pd.DataFrame) -> Shown:
    shown = frame.head(PAGE_ROWS)
    columns = [[_cell(value) for value in shown[c]] for c in shown]
    rows = [list(row) for row in zip(*columns, strict=True)] if len(shown) else []
    kinds = [
        "n" if frame[c].dtype.kind in "iuf" else _text_kind(cells)
        for c, cells in zip(frame, columns, strict=True)
    ]
    return Shown(name, [str(c) for c in frame.columns], kinds, rows, len(frame))


shown_table = _table  # for pages beside this one


def _text_kind(cells: list[str]) -> str:
    """Class of a text column: long cells wrap, short ones do not."""
    return "long" if max(map(len, cells), default=0) > LONG_TEXT else "short"


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.3g}"
    return str(value)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")  # thin space


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
