"""Searching proteins with profile HMMs (HMMER through pyhmmer)."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.domains.hits import HIT, HitStore
from omicsai.domains.profiles import Cutoff, Library, open_library
from omicsai.errors import InputError
from omicsai.progress import track
from omicsai.sequences import Sequence as Record
from omicsai.sequences import sequence_digest
from omicsai.tables import Column, Table
from omicsai.tables.provenance import package_versions

if TYPE_CHECKING:
    from pyhmmer.plan7 import HMM

__all__ = ["DOMAINS", "Cutoff", "search_domains"]

logger = logging.getLogger(__name__)

MAX_LENGTH = 100_000  # HMMER refuses longer targets
SHARD_CELLS = 1e12  # residues times profile positions: some minutes of one core
SHARD_RESIDUES = (100_000, 5_000_000)  # bounds work lost and memory held
COMPLETE_WITHIN = 0.1  # share of the profile that may be missing at a complete end

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
        Column(
            "conditional_evalue",
            "number",
            "E-value among the profiles reported for this sequence",
        ),
        Column("bias", "number", "composition correction of the domain, bits"),
        Column("sequence_bias", "number", "composition correction of the sequence, bits"),
        Column("accuracy", "number", "mean posterior probability of aligned residues"),
        Column(
            "completeness",
            "text",
            "full, n_truncated, c_truncated or fragment (both ends missing)",
        ),
        Column("clan", "text", "clan of the profile, empty if it has none"),
        Column("kept", "boolean", "stays after overlaps within clans are resolved"),
    ),
)


def search_domains(
    sequences: Iterable[Record],
    profiles: Library | Sequence[HMM],
    *,
    cutoff: Cutoff = "gathering",
    evalue: float = 1e-3,
    z: int | None = None,
    threads: int = 1,
    store: Path | str | None = None,
) -> pd.DataFrame:
    """Find domains.

    E-values are those of scanning one protein against the library, as ``hmmscan`` reports
    them: Z is the number of profiles, and for conditional E-values the number of profiles
    reported for the protein. So they do not depend on which proteins share a batch, on
    shards, or on what the store knew already.

    Parameters
    ----------
    sequences
        Canonical proteins: a list, or a `SequenceFile`, of which no more than a shard is
        held at a time.
    profiles
        Library of `open_library`, or profiles.
    cutoff
        ``"gathering"``, ``"trusted"`` or ``"noise"``: the profiles' own bit-score
        thresholds; ``"evalue"``: `evalue` for sequence and domain.
    evalue
        Largest E-value, used with ``cutoff="evalue"``.
    z
        Number of comparisons that E-values count (``-Z`` of HMMER); None for the number
        of profiles.
    threads
        CPU threads.
    store
        Folder that keeps hits by content, for later batches and for a run that is killed;
        None to keep nothing. Needs a library that was read from a file.

    Returns
    -------
    pandas.DataFrame
        The `DOMAINS` table, in sequence order and by start within a sequence, every domain
        ``kept``. Coordinates are 1-based and closed.

    Raises
    ------
    InputError
        If a profile lacks the thresholds asked for, or a sequence is too long for HMMER.
    """
    library = profiles if isinstance(profiles, Library) else open_library(profiles)
    library.require_thresholds(cutoff)
    z = z or max(len(library), 1)
    ids, lengths, numbers, wanted = _survey(sequences)
    shelf = HitStore(store, _identity(library, cutoff, evalue, z)) if store else None
    known, hits = (
        shelf.load(wanted) if shelf else (np.zeros(len(wanted), bool), np.empty(0, HIT))
    )
    logger.info(
        "%d sequences, %d different; %d known to the store, %d to search",
        len(ids), len(wanted), known.sum(), (~known).sum(),
    )  # fmt: skip
    content_lengths = np.zeros(len(wanted), int)
    content_lengths[numbers] = lengths
    shards = _shard_numbers(content_lengths, known, library)
    options = _options(cutoff, evalue, z)
    found = [hits]
    for shard, new in _search_unseen(sequences, wanted, shards, library, options, threads):
        if shelf:
            shelf.append(shard, new)
        new["sequence"] = np.array([wanted[digest] for digest in shard])[new["sequence"]]
        found.append(new)
    return _table(np.concatenate(found), ids, lengths, numbers, library, z)


def _survey(
    sequences: Iterable[Record],
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], dict[bytes, int]]:
    """Ids, lengths and content numbers of all records; number by digest."""
    ids, lengths, numbers = [], [], []
    wanted: dict[bytes, int] = {}
    for record in sequences:
        if len(record) > MAX_LENGTH:
            raise InputError(
                f"'{record.id}' has {len(record)} residues; HMMER takes up to "
                f"{MAX_LENGTH}: set check.max_length"
            )
        digest = bytes.fromhex(sequence_digest(record.residues))
        numbers.append(wanted.setdefault(digest, len(wanted)))
        ids.append(record.id)
        lengths.append(len(record))
    return ids, np.array(lengths, int), np.array(numbers, int), wanted


def _identity(library: Library, cutoff: Cutoff, evalue: float, z: int) -> dict[str, str]:
    if not library.digest:
        raise InputError("a store needs a library that was read from a file")
    identity = {"library": library.digest, "cutoff": cutoff}
    if cutoff == "evalue":  # own thresholds are scores, whatever Z is
        identity |= {"evalue": repr(evalue), "z": str(z)}
    return identity | package_versions("pyhmmer")


def _options(cutoff: Cutoff, evalue: float, z: int) -> dict[str, Any]:
    options: dict[str, Any] = {"Z": z, "domZ": z}
    if cutoff == "evalue":
        return options | {"E": evalue, "domE": evalue, "incE": evalue, "incdomE": evalue}
    return options | {"bit_cutoffs": cutoff}


def _search_unseen(
    sequences: Iterable[Record],
    wanted: dict[bytes, int],
    shard_of: NDArray[np.int64],
    library: Library,
    options: dict[str, Any],
    threads: int,
) -> Iterator[tuple[list[bytes], NDArray]]:
    """Search what is not known, shard by shard: digests and hits of each."""

    def steps() -> Iterator[tuple[list[bytes], NDArray | None]]:
        """Yield one step per profile and shard, the last of a shard with its hits."""
        for digests, residues in _shards(sequences, wanted, shard_of):
            parts = []
            for rows in _search(residues, library, options, threads):
                parts.append(rows)
                if len(parts) < len(library):
                    yield digests, None
            hits = np.concatenate([np.empty(0, HIT), *parts])
            yield digests, hits[np.argsort(hits["sequence"], kind="stable")]

    total = len(library) * int(shard_of.max(initial=-1) + 1)
    for digests, hits in track(steps(), total=total, label="annotate"):
        if hits is not None:
            yield digests, hits


def _shard_numbers(
    lengths: NDArray[np.int64], known: NDArray[np.bool_], library: Library
) -> NDArray[np.int64]:
    """Shard of each content, in order and of bounded size; -1 for what is known."""
    positions = sum(profile.length for profile in library.profiles)
    size = int(np.clip(SHARD_CELLS / max(positions, 1), *SHARD_RESIDUES))
    shards = np.full(len(lengths), -1)
    shard, held = 0, 0
    for number in np.flatnonzero(~known):
        if held and held + lengths[number] > size:
            shard, held = shard + 1, 0
        shards[number] = shard
        held += lengths[number]
    return shards


def _shards(
    sequences: Iterable[Record], wanted: dict[bytes, int], shard_of: NDArray[np.int64]
) -> Iterator[tuple[list[bytes], list[str]]]:
    """Digests and residues of each shard, every content once."""
    if shard_of.max(initial=-1) < 0:
        return
    digests: list[bytes] = []
    residues: list[str] = []
    current, latest = 0, -1
    for record in sequences:
        digest = bytes.fromhex(sequence_digest(record.residues))
        number = wanted[digest]
        if shard_of[number] < 0 or number <= latest:
            continue
        latest = number  # contents are numbered as they first appear
        if shard_of[number] > current:
            yield digests, residues
            digests, residues, current = [], [], current + 1
        digests.append(digest)
        residues.append(record.residues)
    yield digests, residues


def _search(
    residues: list[str], library: Library, options: dict[str, Any], threads: int
) -> Iterator[NDArray]:
    """Hits of one profile after another in one shard."""
    from pyhmmer.easel import Alphabet, DigitalSequenceBlock, TextSequence
    from pyhmmer.hmmer import hmmsearch

    alphabet = Alphabet.amino()
    targets = DigitalSequenceBlock(
        alphabet,
        [
            TextSequence(name=str(i).encode(), sequence=text).digitize(alphabet)
            for i, text in enumerate(residues)
        ],
    )
    # one thread a profile keeps all busy if there are many; else split the targets
    many = len(library) >= 4 * threads
    found = hmmsearch(
        iter(library),
        targets,
        cpus=threads if many else min(threads, len(residues)),
        parallel="queries" if many else "targets",
        **options,
    )
    for number, hits in enumerate(found):
        yield _rows(hits, number)


def _rows(hits: Any, profile: int) -> NDArray:
    """Take the reported hits of one profile, in HMMER's order."""
    rows = []
    accuracies = iter(_accuracies(hits) if len(hits.reported) else [])
    for hit in hits.reported:
        whole = (int(hit.name), profile, hit.score, hit.bias, hit.pvalue)
        number = 0
        for number, domain in enumerate(hit.domains.reported, start=1):
            aligned = domain.alignment
            rows.append(
                (
                    *whole, number, domain.score, domain.bias, domain.pvalue,
                    aligned.hmm_from, aligned.hmm_to,
                    aligned.target_from, aligned.target_to,
                    domain.env_from, domain.env_to, next(accuracies),
                )
            )  # fmt: skip
        if not number:
            rows.append((*whole, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0))
    return np.array(rows, HIT)


def _accuracies(hits: Any) -> list[float]:
    """Mean posterior accuracy of each domain, which only HMMER's table tells."""
    table = io.BytesIO()
    hits.write(table, format="domains", header=False)
    lines = table.getvalue().decode().splitlines()
    return [float(line.split(maxsplit=22)[21]) for line in lines if line[:1] != "#"]


def _table(
    hits: NDArray,
    ids: list[str],
    lengths: NDArray[np.int64],
    numbers: NDArray[np.int64],
    library: Library,
    z: int,
) -> pd.DataFrame:
    """Make the `DOMAINS` table of all records from the hits of their contents."""
    if not len(hits):
        return DOMAINS.frame([])
    names = np.array([p.name for p in library.profiles], object)
    reported = np.bincount(
        hits["sequence"][hits["domain"] <= 1], minlength=numbers.max() + 1
    )
    hits = hits[hits["domain"] > 0]
    order = np.lexsort(
        (hits["domain"], names[hits["profile"]].astype(str), hits["end"], hits["start"],
         hits["sequence"])
    )  # fmt: skip
    hits = hits[order]
    # every record takes the rows of its content
    first = np.searchsorted(hits["sequence"], numbers, "left")
    count = np.searchsorted(hits["sequence"], numbers, "right") - first
    record = np.repeat(np.arange(len(numbers)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    hits = hits[np.repeat(first, count) + within]
    profile = hits["profile"]
    length = np.array([p.length for p in library.profiles])[profile]
    columns = {
        name: hits[name].astype(float if hits[name].dtype.kind == "f" else int)
        for name in HIT.fields or ()
        if name in DOMAINS.names
    }
    return DOMAINS.frame(
        columns
        | {
            "id": np.array(ids, object)[record],
            "profile": names[profile],
            "accession": np.array([p.accession for p in library.profiles], object)[profile],
            "profile_length": length,
            "evalue": hits["pvalue"] * z,
            "conditional_evalue": hits["pvalue"] * reported[hits["sequence"]],
            "sequence_evalue": hits["sequence_pvalue"] * z,
            "length_aa": lengths[record],
            "completeness": _completeness(hits, length),
            "clan": np.full(len(hits), "", object),
            "kept": np.ones(len(hits), bool),
        }
    )


def _completeness(hits: NDArray, length: NDArray[np.int64]) -> NDArray:
    allowed = COMPLETE_WITHIN * length
    start = hits["profile_start"] - 1 > allowed
    end = length - hits["profile_end"] > allowed
    words = np.array(["full", "c_truncated", "n_truncated", "fragment"], object)
    return words[2 * start + end]
