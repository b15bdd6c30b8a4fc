"""Searching proteins with profile HMMs (HMMER through pyhmmer)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from omicsai.errors import InputError
from omicsai.progress import track
from omicsai.sequences import Sequence as Record
from omicsai.tables import Column, Table

if TYPE_CHECKING:
    from pyhmmer.plan7 import HMM

__all__ = ["DOMAINS", "Cutoff", "search_domains"]

logger = logging.getLogger(__name__)

Cutoff = Literal["gathering", "trusted", "noise", "evalue"]
MAX_LENGTH = 100_000  # HMMER refuses longer targets

DOMAINS = Table(
    "domains",
    (
        Column("id", "text", "sequence id"),
        Column("profile", "text", "name of the profile"),
        Column("accession", "text", "accession of the profile, empty if it has none"),
        Column("start", "integer", "first aligned residue"),
        Column("end", "integer", "last aligned residue"),
        Column("envelope_start", "integer", "first residue of the envelope"),
        Column("envelope_end", "integer", "last residue of the envelope"),
        Column("profile_start", "integer", "first aligned position of the profile"),
        Column("profile_end", "integer", "last aligned position of the profile"),
        Column("profile_length", "integer", "number of match positions of the profile"),
        Column("score", "number", "bit score of the domain"),
        Column("evalue", "number", "independent E-value, Z = number of profiles"),
        Column("sequence_score", "number", "bit score of the whole sequence"),
        Column("sequence_evalue", "number", "E-value of the whole sequence"),
        Column("length_aa", "integer", "length of the sequence"),
    ),
)


def search_domains(
    sequences: Sequence[Record],
    profiles: Sequence[HMM],
    *,
    cutoff: Cutoff = "gathering",
    evalue: float = 1e-3,
    threads: int = 1,
) -> pd.DataFrame:
    """Find domains.

    E-values are those of scanning one protein against the library (Z = number of
    profiles), so that they do not depend on which proteins share a batch.

    Parameters
    ----------
    sequences
        Canonical proteins.
    profiles
        Profile library of `read_profiles`.
    cutoff
        ``"gathering"``, ``"trusted"`` or ``"noise"``: the profiles' own bit-score
        thresholds; ``"evalue"``: `evalue` for sequence and domain.
    evalue
        Largest E-value, used with ``cutoff="evalue"``.
    threads
        CPU threads.

    Returns
    -------
    pandas.DataFrame
        The `DOMAINS` table, in sequence order and by start within a sequence.
        Coordinates are 1-based and closed.

    Raises
    ------
    InputError
        If a profile lacks the thresholds asked for, or a sequence is too long for HMMER.
    """
    from pyhmmer.easel import Alphabet, DigitalSequenceBlock, TextSequence
    from pyhmmer.hmmer import hmmsearch

    _require_thresholds(profiles, cutoff)
    for record in sequences:
        if len(record) > MAX_LENGTH:
            raise InputError(
                f"'{record.id}' has {len(record)} residues; HMMER takes up to "
                f"{MAX_LENGTH}: set check.max_length"
            )
    alphabet = Alphabet.amino()
    targets = DigitalSequenceBlock(
        alphabet,
        [
            TextSequence(name=str(i).encode(), sequence=record.residues).digitize(alphabet)
            for i, record in enumerate(sequences)
        ],
    )
    options: dict = {"Z": len(profiles), "domZ": len(profiles)}
    if cutoff == "evalue":
        options |= {"E": evalue, "domE": evalue, "incE": evalue, "incdomE": evalue}
    else:
        options |= {"bit_cutoffs": cutoff}
    found = hmmsearch(profiles, targets, cpus=threads, **options)
    rows = []
    for hits in track(found, total=len(profiles), label="annotate"):
        for hit in hits.reported:
            index = int(hit.name)
            for domain in hit.domains.reported:
                alignment = domain.alignment
                rows.append(
                    {
                        "index": index,
                        "id": sequences[index].id,
                        "profile": hits.query.name,
                        "accession": hits.query.accession or "",
                        "start": alignment.target_from,
                        "end": alignment.target_to,
                        "envelope_start": domain.env_from,
                        "envelope_end": domain.env_to,
                        "profile_start": alignment.hmm_from,
                        "profile_end": alignment.hmm_to,
                        "profile_length": hits.query.M,
                        "score": domain.score,
                        "evalue": domain.i_evalue,
                        "sequence_score": hit.score,
                        "sequence_evalue": hit.evalue,
                        "length_aa": len(sequences[index]),
                    }
                )
    if not rows:
        return DOMAINS.frame([])
    order = ["index", "start", "end", "profile"]
    frame = pd.DataFrame(rows).sort_values(order, kind="stable", ignore_index=True)
    return DOMAINS.frame(frame.drop(columns="index"))


def _require_thresholds(profiles: Sequence[HMM], cutoff: Cutoff) -> None:
    if cutoff == "evalue":
        return
    lacking = [
        profile.name
        for profile in profiles
        if not getattr(profile.cutoffs, f"{cutoff}_available")()
    ]
    if lacking:
        raise InputError(
            f"{len(lacking)} of {len(profiles)} profiles have no {cutoff} threshold, for "
            f"example '{lacking[0]}': use 'annotate.cutoff: evalue' (--cutoff evalue)"
        )
