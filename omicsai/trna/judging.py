"""Status, confidence and reason of each record that was read."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.tables import Column, Table
from omicsai.trna.bases import ALPHABET, pairs_form
from omicsai.trna.positions import INDEX, REGIONS, STEM_PAIRS
from omicsai.trna.reading import FOUND_SCORE, Reading

__all__ = ["INVARIANTS", "TRNA_RECORDS", "judge"]

INVARIANTS = {
    "8": "U", "14": "A", "18": "G", "19": "G", "21": "A", "33": "U", "53": "G",
    "54": "U", "55": "U", "56": "C", "58": "A", "61": "C",
}  # fmt: skip
OK_SCORE, ARMLESS_SCORE = 20.0, -40.0  # nats
OK_PAIRS, OK_ANTICODON_PAIRS, OK_INVARIANTS, OK_POSTERIOR = 17, 4, 8, 0.5
LONG_INTRON = 62  # bases; the longest nuclear ones of yeast have about 60
LONG_VARIABLE = 26
SURELY_ONE = 110  # bases: no longer record can hold two tRNAs
T_LOOP_CORE = re.compile("G[UG]UC[AG]A")

TRNA_RECORDS = Table(
    "trna_records",
    (
        Column("id", "text", "tRNA id"),
        Column("status", "text", "ok, low, unsupported or failed"),
        Column(
            "confidence", "number",
            "posterior x share of 21 stem pairs formed x share of 12 invariants met",
        ),
        Column("reason", "text", "why it is not ok, or what is special about it"),
        Column("anticodon", "text", "bases 34-36"),
        Column("isotype", "text", "stated isotype, normalised; empty if none"),
        Column("stated_anticodon", "text", "anticodon of header or table, empty if none"),
        Column("posterior", "number", "probability of the segmentation among all"),
        Column("margin_bits", "number", "its log-odds against all others"),
        Column("score_bits", "number", "log-odds of a cloverleaf against random bases"),
        Column("stem_pairs", "integer", "of 21 stem pairs, those that form"),
        Column("invariants", "integer", "of 12 invariant bases, those that are there"),
        Column("variable_length", "integer", "bases between 43 and 49"),
        Column("intron", "text", "first-last index of each intron, joined by ','"),
        Column("cca", "boolean", "ends with CCA after 73"),
        Column("method", "text", "enumeration or cmalign; empty if not numbered"),
    ),
)  # fmt: skip


def judge(
    sequences: list[str], problems: list[str], where: NDArray, found: Reading,
    matrix: NDArray, stated: list[str], isotypes: list[str],
    introns: Sequence[Sequence[tuple[int, int]]],
) -> pd.DataFrame:  # fmt: skip
    """Table of `TRNA_RECORDS`, but for the ids.

    Parameters
    ----------
    sequences
        All n, canonical RNA.
    problems
        Why a record could not be read; empty where it was.
    where, found
        Rows that were read, and their readings.
    matrix
        (n, 99) base codes.
    stated, isotypes
        Anticodon and isotype that the source states, or empty.
    introns
        Start (from 0) and length of each intron, told or found.
    """
    n = len(sequences)
    formed = pairs_form(matrix, STEM_PAIRS)
    stems = _by_stem(formed)
    met = np.column_stack(
        [matrix[:, INDEX[p]] == ALPHABET.index(b) for p, b in INVARIANTS.items()]
    )
    s = found.segmentation
    score = np.full(n, np.nan)
    posterior, variable = np.full(n, np.nan), np.full(n, -1)
    special = np.zeros(n, dtype=bool)
    score[where], posterior[where], variable[where] = s.score, s.posterior, s.variable
    inserted = np.zeros(n, dtype=np.int64)
    inserted[where] = np.where(found.is_intron, 0, found.cut[:, 1])
    special[where] = found.selenocysteine
    ends = np.zeros((n, 4), dtype=np.int64)
    ends[where] = np.column_stack([found.missing, found.skipped, inserted[where]])
    anticodons = matrix[:, [INDEX[p] for p in ("34", "35", "36")]]
    cca = (matrix[:, [INDEX[p] for p in ("74", "75", "76")]] == [1, 1, 0]).all(axis=1)
    pairs, invariants = formed.sum(axis=1), met.sum(axis=1)
    letters = np.array(list(ALPHABET))[anticodons]
    anticodon = np.char.add(np.char.add(letters[:, 0], letters[:, 1]), letters[:, 2])
    told = np.array(stated, dtype=object)
    plain = (score >= OK_SCORE) & (posterior >= OK_POSTERIOR) & (pairs >= OK_PAIRS)
    plain &= (stems["anticodon_stem"] >= OK_ANTICODON_PAIRS) & (invariants >= OK_INVARIANTS)
    for key, (_, size) in STEM_NAMES.items():
        plain &= stems[key] >= 0.5 * size
    plain &= (
        (anticodons < 4).all(axis=1)
        & np.array([not cuts for cuts in introns], dtype=bool)
        & ~special
    )
    plain &= (ends == 0).all(axis=1) & (variable <= LONG_VARIABLE)
    plain &= (told == "") | (told == anticodon)
    plain &= np.array(
        [len(q) <= SURELY_ONE and not t for q, t in zip(sequences, problems, strict=True)],
        bool,
    )
    status = np.where(plain, "ok", "failed").astype(object)
    reason = np.full(n, "", dtype=object)
    for i in np.flatnonzero(~plain).tolist():
        status[i], reason[i] = _verdict(
            problems[i], score[i], posterior[i], formed[i],
            {k: v[i] for k, v in stems.items()},
            met[i], ends[i], bool(special[i]), [k for _, k in introns[i]],
            str(anticodon[i]), stated[i],
            len(T_LOOP_CORE.findall(sequences[i])) if len(sequences[i]) > SURELY_ONE else 1,
            int(variable[i]),
        )  # fmt: skip
    failed = status == "failed"
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.log2(np.maximum(posterior, 1e-9) / np.maximum(1 - posterior, 1e-9))
    share = posterior * formed.mean(axis=1) * met.mean(axis=1)
    return pd.DataFrame(
        {
            "status": status,
            "confidence": np.where(failed, 0.0, share),
            "reason": reason,
            "anticodon": np.where(failed, "", anticodon).astype(object),
            "isotype": isotypes,
            "stated_anticodon": stated,
            "posterior": np.where(failed, np.nan, posterior),
            "margin_bits": np.where(failed, np.nan, margin),
            "score_bits": np.where(np.isfinite(score), score / np.log(2), np.nan),
            "stem_pairs": _unless(failed, pairs),
            "invariants": _unless(failed, invariants),
            "variable_length": _unless(failed, variable),
            "intron": [
                "" if bad else ",".join(f"{a + 1}-{a + size}" for a, size in cuts)
                for cuts, bad in zip(introns, failed, strict=True)
            ],
            "cca": pd.array(cca, dtype="boolean").copy(),
            "method": np.where(failed, "", "enumeration").astype(object),
        }
    ).assign(cca=lambda frame: frame["cca"].mask(failed))


def _unless(failed: NDArray, values: NDArray) -> pd.Series:
    return pd.Series(values, dtype="Int64").mask(failed)


def _by_stem(formed: NDArray) -> dict[str, NDArray[np.int64]]:
    """Pairs that form in each stem."""
    names = np.array([REGIONS[a] for a, _ in STEM_PAIRS])
    return {str(k): formed[:, names == k].sum(axis=1) for k in dict.fromkeys(names)}


STEM_NAMES = {
    "acceptor_stem": ("acceptor stem", 7), "d_stem": ("D stem", 4),
    "anticodon_stem": ("anticodon stem", 5), "t_stem": ("T stem", 5),
}  # fmt: skip


def _verdict(
    problem: str, score: float, posterior: float, formed: NDArray,
    stems: dict[str, int], met: NDArray, ends: NDArray, selenocysteine: bool,
    introns: list[int], anticodon: str, stated: str, t_loops: int, variable: int,
) -> tuple[str, str]:  # fmt: skip
    """Status and reason of one record."""
    if problem:
        return "failed", problem
    absent = [name for key, (name, size) in STEM_NAMES.items() if stems[key] < 0.5 * size]
    if not np.isfinite(score) or score < FOUND_SCORE:
        firm = stems["acceptor_stem"] >= 6 and stems["anticodon_stem"] >= 4
        firm = firm and score > ARMLESS_SCORE and met[list(INVARIANTS).index("33")]
        if firm and absent in (["D stem"], ["T stem"]):
            return "unsupported", f"no {absent[0]}: an armless (mitochondrial) tRNA?"
        bits = f"{score / np.log(2):.0f} bits" if np.isfinite(score) else "no fit"
        return "failed", f"no cloverleaf found ({bits} against random bases)"
    doubts = [
        text
        for count, text in zip(
            ends,
            (
                f"{ends[0]} bases missing at the 5' end",
                f"{ends[1]} bases missing at the 3' end",
                f"{ends[2]} bases before position 1 do not fit",
                f"{ends[3]} bases inserted in linker or D loop",
            ),
            strict=True,
        )
        if count
    ]
    if score < OK_SCORE:
        doubts.append(f"weak cloverleaf ({score / np.log(2):.0f} bits)")
    if absent:
        doubts.append(f"{' and '.join(absent)} mostly unpaired")
    if formed.sum() < OK_PAIRS:
        doubts.append(f"{formed.sum()} of 21 stem pairs form")
    if stems["anticodon_stem"] < OK_ANTICODON_PAIRS and "anticodon stem" not in absent:
        doubts.append(f"{stems['anticodon_stem']} of 5 anticodon stem pairs form")
    if met.sum() < OK_INVARIANTS:
        doubts.append(f"{met.sum()} of 12 invariant bases")
    if posterior < OK_POSTERIOR:
        doubts.append(f"another segmentation is as likely (posterior {posterior:.2f})")
    if "N" in anticodon or "-" in anticodon:
        doubts.append("anticodon not readable")
    suspicious = max(introns, default=0) > LONG_INTRON or t_loops > 1
    if suspicious:
        told = f"an intron of {max(introns)} bases" if introns else f"{t_loops} T loops"
        doubts.append(f"{told}: two tRNAs in one record?")
    if variable > LONG_VARIABLE:
        doubts.append(f"variable loop of {variable} bases")
    notes = []
    if selenocysteine:
        notes.append("selenocysteine tRNA: eighth acceptor pair 7i1:65i1")
    if introns and not suspicious:
        notes.append(f"intron of {' and '.join(map(str, introns))} bases cut out")
    if len(stated) == 3 and set(stated) <= set("ACGU") and stated != anticodon:
        doubts.append(f"stated anticodon {stated} but 34-36 is {anticodon}")
    return ("low" if doubts else "ok"), "; ".join([*doubts, *notes])
