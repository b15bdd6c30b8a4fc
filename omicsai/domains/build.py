"""Building a profile library from named proteins.

Members of a family are found by product name, grouped by homology, aligned, modelled;
the models recruit unnamed homologues, and gathering thresholds are set between held-out
members and everything that is something else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from omicsai.domains.built import BUILT
from omicsai.domains.profiles import build_profile
from omicsai.domains.search import search_domains
from omicsai.errors import InputError, ToolError
from omicsai.progress import track
from omicsai.sequences import Sequence as Record

if TYPE_CHECKING:
    from pyhmmer.plan7 import HMM

__all__ = ["BuiltLibrary", "build_library", "require_aligner"]

logger = logging.getLogger(__name__)

LINK_EVALUE = 1e-10  # two members are of one subfamily if phmmer says so over most of both
LINK_COVERAGE = 0.6
MEMBER_COVERAGE = 0.7  # share of the profile that a recruited member must match
LEAD = 1.2  # its score over that of the best other family of the clan
MOST_NAMED = 60  # members by name that a family is grouped from
LEAST_ALIGNED, MOST_ALIGNED = 3, 60
HELD_OUT = 5  # one member in five is held out
LEAST_GATHERING = 25.0
LEAST_FOUND = 0.5  # share of held-out members that a profile must find to be kept
LIKELY = 0.4  # of the typical score makes a whole match of another name no decoy
PASSED_OVER = 2  # highest decoys
PLACE = 0.25  # of the threshold between best decoy and the held-out members
UNNAMED = re.compile(
    r"^$|hypothetical|uncharacteri[sz]ed|unnamed|unknown|predicted protein|genomic dna"
    r"|supercontig|^putative protein|conserved|trna synthetase,? class|aminoacyl-trna",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class BuiltLibrary:
    """A built library.

    Attributes
    ----------
    profiles
        With gathering thresholds.
    built
        The `BUILT` table.
    members
        Ids of the proteins each profile was built from, by profile.
    """

    profiles: list[HMM]
    built: pd.DataFrame
    members: dict[str, list[str]]


@dataclass
class _Group:
    """A subfamily while it grows."""

    name: str
    family: str
    named: list[int]
    recruited: list[int]

    @property
    def members(self) -> list[int]:
        return [*self.named, *self.recruited]


def build_library(
    sequences: Sequence[Record],
    products: Sequence[str],
    families: pd.DataFrame,
    *,
    threads: int = 1,
) -> BuiltLibrary:
    """Build profiles of families from proteins with product names.

    Parameters
    ----------
    sequences
        n proteins.
    products
        n product names, empty where there is none.
    families
        The `FAMILIES` table.
    threads
        CPU threads.

    Returns
    -------
    BuiltLibrary
        One profile per subfamily of enough members that its threshold can tell from
        decoys; the same for the same input.

    Raises
    ------
    InputError
        If an expression is none, or no family has members enough.
    """
    named = _named(products, families)
    least = dict(zip(families["family"], families["least"], strict=True))
    groups = [
        group
        for family in families["family"]
        for group in _subfamilies(family, named[family], sequences, least[family])
    ]
    if not groups:
        raise InputError("no family has enough related members: check the expressions")
    taken = {i: family for family, indices in named.items() for i in indices}
    logger.info("recruiting with %d profiles", len(groups))
    hits = _best_hits(sequences, _model(groups, sequences), threads)
    _recruit(groups, hits, products, taken)
    profiles = _model(groups, sequences)
    logger.info("setting thresholds")
    hits = _best_hits(sequences, profiles, threads)
    built = _calibrate(groups, profiles, hits, families, sequences, products, taken)
    useful = ~(built["held_out_found"] < LEAST_FOUND).to_numpy()
    for name in built["profile"][~useful]:
        logger.warning("profile '%s' cannot be told from decoys: left out", name)
    members = {
        group.name: [sequences[i].id for i in _aligned(group, sequences)]
        for group, good in zip(groups, useful, strict=True)
        if good
    }
    kept = [profile for profile, good in zip(profiles, useful, strict=True) if good]
    return BuiltLibrary(kept, built[useful].reset_index(drop=True), members)


def _named(products: Sequence[str], families: pd.DataFrame) -> dict[str, list[int]]:
    """Find the proteins that each family's expressions name."""
    named = {}
    for row in families.itertuples():
        try:
            include = re.compile(row.include, re.IGNORECASE)
            exclude = re.compile(row.exclude or r"(?!)", re.IGNORECASE)
        except re.error as error:
            raise InputError(
                f"family '{row.family}': not a regular expression ({error})"
            ) from error
        named[row.family] = [
            i
            for i, product in enumerate(products)
            if include.search(product) and not exclude.search(product)
        ]
    return named


def _subfamilies(
    family: str, indices: list[int], sequences: Sequence[Record], least: int
) -> list[_Group]:
    """Group related members: connected components of phmmer hits, largest first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(indices) < least:
        logger.warning("family '%s' has %d members: left out", family, len(indices))
        return []
    # evenly through the file, because neighbours come from one organism
    step = max(len(indices) / MOST_NAMED, 1)
    indices = [indices[int(k * step)] for k in range(min(len(indices), MOST_NAMED))]
    rows, columns = _links([sequences[i] for i in indices])
    n = len(indices)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    sizes = np.bincount(labels)
    order = sorted(range(len(sizes)), key=lambda k: (-sizes[k], list(labels).index(k)))
    kept = [k for k in order if sizes[k] >= least]
    return [
        _Group(
            family if len(kept) == 1 else f"{family}_{number}",
            family,
            [indices[i] for i in np.flatnonzero(labels == k)],
            [],
        )
        for number, k in enumerate(kept, start=1)
    ]


def _links(records: list[Record]) -> tuple[list[int], list[int]]:
    """Pairs of records that phmmer aligns over most of both."""
    from pyhmmer.easel import Alphabet, DigitalSequenceBlock, TextSequence
    from pyhmmer.hmmer import phmmer

    alphabet = Alphabet.amino()
    block = DigitalSequenceBlock(
        alphabet,
        [
            TextSequence(name=str(i).encode(), sequence=r.residues).digitize(alphabet)
            for i, r in enumerate(records)
        ],
    )
    rows, columns = [], []
    for i, hits in enumerate(phmmer(block, block, cpus=1, E=LINK_EVALUE)):
        for hit in hits.reported:
            j = int(hit.name)
            spans = [d.alignment for d in hit.domains.reported]
            mine = sum(a.hmm_to - a.hmm_from + 1 for a in spans)
            theirs = sum(a.target_to - a.target_from + 1 for a in spans)
            if mine >= LINK_COVERAGE * len(records[i]) and theirs >= LINK_COVERAGE * len(
                records[j]
            ):
                rows.append(i)
                columns.append(j)
    return rows, columns


def _held_out(record: Record) -> bool:
    """Whether a member is kept out of the alignment; drawn by its content."""
    return hashlib.sha256(record.residues.encode()).digest()[0] % HELD_OUT == 0


def _aligned(group: _Group, sequences: Sequence[Record]) -> list[int]:
    """Members to build from: not held out, of typical length, named ones first."""
    usable = [i for i in group.members if not _held_out(sequences[i])]
    if len(usable) < LEAST_ALIGNED:
        usable = group.members
    middle = np.median([len(sequences[i]) for i in usable])
    typical = [i for i in usable if 0.7 * middle <= len(sequences[i]) <= 1.4 * middle]
    return (typical or usable)[:MOST_ALIGNED]


def _model(groups: list[_Group], sequences: Sequence[Record]) -> list[HMM]:
    return [
        build_profile(
            group.name, _align([sequences[i].residues for i in _aligned(group, sequences)])
        )
        for group in track(groups, total=len(groups), label="build")
    ]


def require_aligner() -> None:
    """Refuse to start without FAMSA, which a plain installation does not bring.

    Raises
    ------
    ToolError
        If `pyfamsa` cannot be imported.
    """
    if importlib.util.find_spec("pyfamsa") is None:
        raise ToolError("FAMSA not found, which aligns families: pip install pyfamsa")


def _align(residues: list[str]) -> list[str]:
    """Multiple alignment by FAMSA (Deorowicz et al. 2016).

    Without its refinement, which does not give the same alignment each time (0.7.0).
    """
    from pyfamsa import Aligner, Sequence

    rows = [Sequence(str(i).encode(), r.encode()) for i, r in enumerate(residues)]
    aligned = {
        int(row.id): row.sequence.decode()
        for row in Aligner(threads=1, refine=False).align(rows)
    }
    return [aligned[i] for i in range(len(residues))]


def _best_hits(
    sequences: Sequence[Record], profiles: list[HMM], threads: int
) -> pd.DataFrame:
    """One row per protein and profile: sequence score and share of the profile matched."""
    numbered = [Record(str(i), record.residues) for i, record in enumerate(sequences)]
    found = search_domains(
        numbered, profiles, cutoff="evalue", evalue=1e-3, threads=threads
    )
    found["matched"] = (found["profile_end"] - found["profile_start"] + 1) / found[
        "profile_length"
    ]
    hits = found.groupby(["id", "profile"], sort=False, as_index=False).agg(
        score=("sequence_score", "first"), best=("score", "max"), matched=("matched", "sum")
    )
    hits["protein"] = hits["id"].astype(int)
    return hits.sort_values(
        ["protein", "score"], ascending=[True, False], kind="stable", ignore_index=True
    )


def _recruit(
    groups: list[_Group], hits: pd.DataFrame, products: Sequence[str], taken: dict[int, str]
) -> None:
    """Give unnamed proteins to the family that explains them clearly best."""
    by_name = {group.name: group for group in groups}
    for group in groups:
        group.recruited = []
    for protein, rows in hits.groupby("protein", sort=False):
        first = rows.iloc[0]
        group = by_name[first["profile"]]
        if protein in taken or not UNNAMED.search(products[protein]):
            continue
        others = [
            score
            for profile, score in zip(rows["profile"], rows["score"], strict=True)
            if by_name[profile].family != group.family
        ]
        lead = first["score"] / max(*others, 1.0) if others else np.inf
        if first["matched"] >= MEMBER_COVERAGE and lead >= LEAD and first["score"] >= 100:
            group.recruited.append(int(protein))


def _calibrate(
    groups: list[_Group],
    profiles: list[HMM],
    hits: pd.DataFrame,
    families: pd.DataFrame,
    sequences: Sequence[Record],
    products: Sequence[str],
    taken: dict[int, str],
) -> pd.DataFrame:
    """Set gathering thresholds and tell about them.

    Decoys are proteins of families of other clans, and proteins that are named as
    something else, unless they match as members do: product names are wrong or too vague
    now and then, which is also why the few highest decoys are passed over. Clan mates are
    left to competition, and unnamed proteins count for neither side.
    """
    facts = families.set_index("family")
    clans = facts["clan"].to_dict()
    owner = taken | {i: group.family for group in groups for i in group.recruited}
    rows = []
    for group, profile in zip(groups, profiles, strict=True):
        mine = hits[hits["profile"] == group.name]
        score = dict(zip(mine["protein"], mine["score"], strict=True))
        typical = float(np.median([score.get(i, 0.0) for i in group.members]))
        likely = mine[
            (mine["matched"] >= MEMBER_COVERAGE) & (mine["score"] >= LIKELY * typical)
        ]
        unsure = set(likely["protein"]) - owner.keys()
        decoys = sorted(
            (
                value
                for protein, value in score.items()
                if protein not in unsure
                and _is_decoy(protein, group.family, owner, clans, products)
            ),
            reverse=True,
        )
        built_from = set(_aligned(group, sequences))
        held_out = [
            score.get(i, 0.0)
            for i in group.members
            if i not in built_from and _held_out(sequences[i])
        ]
        decoy = decoys[PASSED_OVER] if len(decoys) > PASSED_OVER else 0.0
        own = held_out or [score.get(i, 0.0) for i in group.members]
        low = max(float(np.quantile(own, 0.05)), decoy)
        threshold = round(max(LEAST_GATHERING, decoy + (low - decoy) * PLACE), 1)
        profile.cutoffs.gathering = (threshold, LEAST_GATHERING)
        profile.description = facts.at[group.family, "description"].encode()
        rows.append(
            {
                "profile": group.name,
                "family": group.family,
                "class": facts.at[group.family, "class"],
                "clan": clans[group.family],
                "named": len(group.named),
                "recruited": len(group.recruited),
                "aligned": len(built_from),
                "held_out": len(held_out),
                "length": profile.M,
                "gathering": threshold,
                "decoy": decoy,
                "held_out_found": (
                    np.mean([s >= threshold for s in held_out]) if held_out else np.nan
                ),
            }
        )
    return BUILT.frame(rows)


def _is_decoy(
    protein: int,
    family: str,
    owner: dict[int, str],
    clans: dict[str, str],
    products: Sequence[str],
) -> bool:
    if protein not in owner:
        return not UNNAMED.search(products[protein])
    other = owner[protein]
    return other != family and not (clans[family] and clans[family] == clans[other])
