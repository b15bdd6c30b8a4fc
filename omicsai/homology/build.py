"""From residues to a partition: find pairs, partition, search between parts, repair."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import ToolError
from omicsai.homology.align import align_all
from omicsai.homology.pairs import Definition, Pairs
from omicsai.homology.search import LEAST_UNGAPPED_SCORE, find_pairs, search_pairs
from omicsai.sequences import Molecule

__all__ = ["build_pairs", "close_gaps", "search_between"]

logger = logging.getLogger(__name__)

MAX_ROUNDS = 16
COLLECTED_FROM = 0.05  # pairs below the threshold are kept for the identity to train


def build_pairs(
    residues: Sequence[str],
    definition: Definition,
    *,
    sensitivity: float | None,
    molecule: Molecule = "protein",
    threads: int = 1,
    done: Path | None = None,
) -> Pairs:
    """Find the pairs a partition is built on; equal sequences are pairs without a search.

    Parameters
    ----------
    residues
        Canonical residues of n sequences.
    definition
        What is alike; pairs are collected from 5 % identity on.
    sensitivity
        As in `omicsai.homology.search.find_pairs`.
    molecule
        tRNAs are aligned exhaustively by Opal.
    threads
        CPU threads.
    done
        As in `omicsai.homology.search.search_pairs`.
    """
    _, firsts, which = np.unique(
        np.array(residues, dtype=object), return_index=True, return_inverse=True
    )
    different = [residues[i] for i in firsts]
    if molecule == "protein":
        found = find_pairs(
            different, definition, reported_from=COLLECTED_FROM, sensitivity=sensitivity,
            threads=threads, done=done,
        )  # fmt: skip
    else:
        collected = replace(definition, identity=COLLECTED_FROM)
        found = align_all(different, collected, molecule=molecule, threads=threads)
    original = firsts.astype(np.int32)
    pairs = Pairs.from_alignments(
        original[found.first], original[found.second], found.identical, found.columns,
        found.coverage_first, found.coverage_second, found.evalue,
        np.array([len(s) for s in residues]),
    )  # fmt: skip
    copies = np.flatnonzero(firsts[which] != np.arange(len(residues)))
    return Pairs.concatenate([pairs, _copies(residues, firsts[which][copies], copies)])


def _copies(residues: Sequence[str], kept: NDArray, copies: NDArray) -> Pairs:
    lengths = np.array([len(s) for s in residues])
    whole = np.ones(len(copies))
    return Pairs.from_alignments(
        kept, copies, lengths[copies], lengths[copies], whole, whole, 0 * whole, lengths
    )


def search_between(
    residues: Sequence[str],
    before: NDArray[np.int64],
    now: NDArray[np.int64],
    definition: Definition,
    *,
    reported_from: float | None = None,
    sensitivity: float | None,
    least_score: int = LEAST_UNGAPPED_SCORE,
    threads: int = 1,
    label: str = "between parts",
    done: Path | None = None,
) -> Pairs:
    """Examine every pair that one partition holds together and another one separates.

    Parameters
    ----------
    residues
        Canonical residues of n proteins.
    before, now
        (n,) parts. With one part before, this is a search of all parts against each other.
    definition, reported_from, sensitivity, least_score, threads, label, done
        As in `omicsai.homology.search.search_pairs`. The k-mer prefilter is run in both
        directions.
    """
    found = []
    for group in np.unique(before):
        members = np.flatnonzero(before == group)
        parts = np.unique(now[members])
        for k, part in enumerate(parts[:-1]):
            one = members[now[members] == part]
            later = members[np.isin(now[members], parts[k + 1 :])]
            directions = [(one, later), (later, one)]
            found += [
                search_pairs(
                    residues, queries, targets, definition, reported_from=reported_from,
                    sensitivity=sensitivity, least_score=least_score, threads=threads,
                    label=label, done=done,
                )
                for queries, targets in directions[: 1 if sensitivity is None else 2]
            ]  # fmt: skip
    return Pairs.concatenate(found)


def close_gaps(
    residues: Sequence[str],
    pairs: Pairs,
    part: NDArray[np.int64],
    definition: Definition,
    repair: Callable[[Pairs, NDArray[np.int64], bool], NDArray[np.int64]],
    *,
    parts: int,
    before: NDArray[np.int64] | None = None,
    sensitivity: float | None = None,
    threads: int = 1,
    done: Path | None = None,
) -> tuple[Pairs, NDArray[np.int64], int]:
    """Search between parts, repair, search what moved, until nothing is found.

    Only pairs that end up in different parts have to be known, and every pair that an
    earlier round separated is, so that each round examines what moved since.

    Parameters
    ----------
    residues
        Canonical residues of n proteins.
    pairs
        What is known so far.
    part
        (n,) parts that must not share a pair, and cells of train.
    definition
        What is alike.
    repair
        New parts from all pairs, the old parts and whether those are settled: then
        nothing moves for balance alone.
    parts
        From this number on they are cells (folds) of train, here one part.
    before
        (n,) parts that were already searched against each other, if any were.
    sensitivity, done
        As in `omicsai.homology.search.search_pairs`.
    threads
        CPU threads.

    Returns
    -------
    pairs : Pairs
        With what was found, from 5 % identity on.
    part : (n,) int64
        The last parts.
    missed : int
        Pairs between parts that were not known before.

    Raises
    ------
    ToolError
        If new pairs are still found after 16 rounds.
    """
    searched = np.zeros(len(residues), dtype=np.int64) if before is None else before
    missed = 0
    evened = before is not None
    for number in range(1, MAX_ROUNDS + 1):
        # the cells of train are one part here
        new = search_between(
            residues, np.minimum(searched, parts), np.minimum(part, parts), definition,
            reported_from=COLLECTED_FROM, sensitivity=sensitivity, threads=threads,
            label=f"between parts, round {number}", done=done,
        )  # fmt: skip
        searched, pairs = part, Pairs.concatenate([pairs, new])
        a, b = part[new.first], part[new.second]
        violating = definition.holds(new) & (a != b) & (a >= 0) & (b >= 0)
        missed += int(violating.sum())
        logger.info("round %d: %d new pairs between parts", number, int(violating.sum()))
        if violating.any():
            # what moves has to be searched again: at first and at last alone for balance
            part = repair(pairs, part, number > 1 or before is not None)
        elif not evened:
            # families that grew together have left the parts uneven
            part, evened = repair(pairs, part, False), True
        if np.array_equal(part, searched):
            return pairs, part, missed
    raise ToolError(
        f"new pairs between parts were still found after {MAX_ROUNDS} rounds: raise the "
        "identity or coverage threshold, or the tolerance"
    )
