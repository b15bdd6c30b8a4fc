"""Which of a host's synthetases would recognise a tRNA: orthogonality.

Two scores. The identity score of Cervettini et al. 2020 (Nat. Biotechnol. 38:989): mean of
+1 (the host's isoacceptors have that base) and -1 over a synthetase's identity positions,
and its maximum over synthetases. It saturates where few positions are left, so classes
judged on fewer than three are flagged. And a log-likelihood ratio that weighs every
position by what it tells about the amino acid in that host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.tables import Column, Table
from omicsai.trna.bases import ALPHABET, OTHER
from omicsai.trna.distance import core_weights
from omicsai.trna.logos import position_information, unique_trnas
from omicsai.trna.positions import INDEX, LABELS

__all__ = [
    "COGNATES",
    "EVIDENCE",
    "SCORES",
    "Host",
    "cognate_tables",
    "identity_scores",
    "likelihood_ratios",
    "make_host",
]

COGNATES = Table(
    "cognates",
    (
        Column("rank", "integer", "1 for the least recognised tRNA (most orthogonal)"),
        Column("id", "text", "tRNA id"),
        Column("isotype", "text", "its own amino acid, empty if unknown"),
        Column("recognised_by", "text", "host synthetase with the largest ratio"),
        Column("likelihood_ratio", "number", "that ratio, bits; below 0 is orthogonal"),
        Column("identity_best", "text", "host synthetases with the largest identity score"),
        Column("identity_score", "number", "that score, -1 to 1; low is orthogonal"),
        Column("identity_positions", "integer", "fewest positions behind it"),
        Column("flag", "text", "why the identity score is not to be trusted"),
        Column("reliable_score", "number", "the score over classes judged on enough"),
    ),
)
SCORES = Table(
    "cognate_scores",
    (
        Column("id", "text", "tRNA id"),
        Column("synthetase", "text", "amino acid of the host synthetase"),
        Column("identity_score", "number", "mean of +1 and -1; 0 without positions"),
        Column("positions", "integer", "identity positions it is judged on, known bases"),
        Column("enough", "boolean", "at least cognates.min_positions"),
        Column("likelihood_ratio", "number", "weighted log-likelihood ratio, bits"),
    ),
)
EVIDENCE = Table(
    "cognate_evidence",
    (
        Column("id", "text", "tRNA id"),
        Column("synthetase", "text", "host synthetase it is most like"),
        Column("position", "text", "canonical position"),
        Column("base", "text", "base of the tRNA"),
        Column("host_bases", "text", "bases of the host's isoacceptors there"),
        Column("identity_element", "boolean", "a used identity position"),
        Column("contribution", "number", "part of the likelihood ratio, bits"),
    ),
)
SHOWN_EVIDENCE = 12


@dataclass(frozen=True)
class Host:
    """A host's tRNAs, as its synthetases see them.

    Attributes
    ----------
    isotypes
        The C amino acids that the host has tRNAs for.
    positions
        Identity positions of each, exclusions taken out.
    bases
        (C, 99, 6) whether a base (code) occurs among the isoacceptors.
    ratio
        (C, 99, 6) weighted log-likelihood ratio of a base, bits.
    """

    isotypes: list[str]
    positions: dict[str, list[str]]
    bases: NDArray[np.bool_]
    ratio: NDArray[np.float64]


def make_host(
    matrix: NDArray[np.int8],
    classes: Sequence[str],
    positions: dict[str, list[str]],
    *,
    exclude: Sequence[str] = ("34", "35", "36"),
    shrinkage: float = 4.0,
) -> Host:
    """Describe a host by its tRNAs.

    Parameters
    ----------
    matrix
        (n, 99) base codes of the host's tRNAs.
    classes
        (n,) amino acids; tRNAs without one are left out, and copies of a gene count once.
    positions
        Identity positions by amino acid (`omicsai.trna.identity_positions`).
    exclude
        Positions left out of both scores, for example a synthetase's own anticodon.
    shrinkage
        Pseudo-tRNAs: P(b | aa) = (n_b + s q_b) / (n + s), with q the host's other tRNAs.

    Returns
    -------
    Host
    """
    rows = unique_trnas(matrix, classes)
    matrix, given = matrix[rows], np.array(classes, dtype=object)[rows]
    isotypes = sorted(set(given) - {""})
    one_hot = np.eye(6)[matrix]  # n, 99, 6
    weights = position_information(matrix, given.tolist()) * core_weights()
    weights[[INDEX[p] for p in exclude]] = 0
    weights = weights / weights.max() if weights.max() > 0 else weights
    bases, ratio = [], []
    for isotype in isotypes:
        mine = given == isotype
        others = (given != "") & ~mine
        n_others = max(int(others.sum()), 1)
        q = (one_hot[others].sum(axis=0) + 0.5) / (n_others + 3.0)
        p = (one_hot[mine].sum(axis=0) + shrinkage * q) / (mine.sum() + shrinkage)
        bases.append(one_hot[mine].any(axis=0))
        odds = weights[:, None] * np.log2(p / q)
        odds[:, OTHER] = 0  # an unknown base is no evidence
        ratio.append(odds)
    kept = {
        isotype: [p for p in positions.get(isotype, []) if p not in exclude]
        for isotype in isotypes
    }
    shape = (len(isotypes), len(LABELS), 6)
    return Host(
        isotypes, kept,
        np.array(bases, dtype=bool).reshape(shape),
        np.array(ratio, dtype=float).reshape(shape),
    )  # fmt: skip


def identity_scores(
    matrix: NDArray[np.int8], host: Host
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Identity score of each tRNA for each host synthetase.

    S = (1 / |P|) sum over p in P of +1 if the base is one that the host's isoacceptors have
    at p, else -1; 0 where no position is left. Positions with an unknown base are left out.

    Returns
    -------
    scores : (n, C) float64
    judged_on : (n, C) int64
        Number of positions behind each score.
    """
    scores = np.zeros((len(matrix), len(host.isotypes)))
    judged_on = np.zeros(scores.shape, dtype=np.int64)
    for c, isotype in enumerate(host.isotypes):
        where = [INDEX[p] for p in host.positions[isotype]]
        known = matrix[:, where] != OTHER
        sign = np.where(host.bases[c, where, matrix[:, where]], 1.0, -1.0)
        judged_on[:, c] = known.sum(axis=1)
        scores[:, c] = (known * sign).sum(axis=1) / np.maximum(judged_on[:, c], 1)
    return scores, judged_on


def likelihood_ratios(matrix: NDArray[np.int8], host: Host) -> NDArray[np.float64]:
    """Weighted log-likelihood ratios (n, C), bits."""
    where = np.arange(len(LABELS))
    ratios = [host.ratio[c, where, matrix].sum(axis=1) for c in range(len(host.isotypes))]
    return np.array(ratios).reshape(len(host.isotypes), len(matrix)).T


def cognate_tables(
    ids: Sequence[str],
    matrix: NDArray[np.int8],
    classes: Sequence[str],
    host: Host,
    *,
    min_positions: int = 3,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rank tRNAs by how little the host's synthetases recognise them.

    Returns
    -------
    cognates, scores, evidence : pandas.DataFrame
        The `COGNATES`, `SCORES` and `EVIDENCE` tables.
    """
    S, judged_on = identity_scores(matrix, host)
    ratios = likelihood_ratios(matrix, host)
    names = np.array(host.isotypes, dtype=object)
    enough = judged_on >= min_positions
    best = ratios.argmax(axis=1)
    rows = []
    for i, key in enumerate(ids):
        top = S[i] == S[i].max()
        weak = names[top & ~enough[i]]
        rows.append(
            {
                "id": key,
                "isotype": classes[i],
                "recognised_by": names[best[i]],
                "likelihood_ratio": ratios[i, best[i]],
                "identity_best": " ".join(names[top]),
                "identity_score": S[i].max(),
                "identity_positions": int(judged_on[i, top].min()),
                "flag": f"fewer than {min_positions} positions: {' '.join(weak)}"
                if len(weak)
                else "",
                "reliable_score": S[i, enough[i]].max() if enough[i].any() else np.nan,
            }
        )
    frame = pd.DataFrame(rows, columns=[c for c in COGNATES.names if c != "rank"])
    frame = frame.sort_values(["likelihood_ratio", "id"], kind="stable")
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    n, count = S.shape
    scores = SCORES.frame(
        {
            "id": np.repeat(np.array(ids, dtype=object), count),
            "synthetase": np.tile(names, n),
            "identity_score": S.ravel(),
            "positions": judged_on.ravel(),
            "enough": enough.ravel(),
            "likelihood_ratio": ratios.ravel(),
        }
    )
    evidence = _evidence(ids, matrix, host, best)
    return COGNATES.frame(frame.reset_index(drop=True)), scores, evidence


def _evidence(
    ids: Sequence[str], matrix: NDArray[np.int8], host: Host, best: NDArray
) -> pd.DataFrame:
    """Positions that speak loudest for or against the most likely synthetase."""
    rows = []
    where = np.arange(len(LABELS))
    for i, key in enumerate(ids):
        c = best[i]
        part = host.ratio[c, where, matrix[i]]
        isotype = host.isotypes[c]
        elements = {INDEX[p] for p in host.positions[isotype]}
        loud = np.argsort(-np.abs(part), kind="stable")[:SHOWN_EVIDENCE]
        for p in sorted({*loud[part[loud] != 0].tolist(), *elements}):
            bases = "".join(ALPHABET[b] for b in np.flatnonzero(host.bases[c, p]))
            rows.append(
                {
                    "id": key,
                    "synthetase": isotype,
                    "position": LABELS[p],
                    "base": ALPHABET[matrix[i, p]],
                    "host_bases": bases,
                    "identity_element": p in elements,
                    "contribution": part[p],
                }
            )
    return EVIDENCE.frame(pd.DataFrame(rows, columns=EVIDENCE.names))
