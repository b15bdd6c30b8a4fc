"""tRNAs in, from the formats people have them in.

FASTA (plain, GtRNAdb, tDBs), tRNAscan-SE ``.ss`` and ``.out``, ARAGORN ``-w`` and Stockholm
alignments are told apart by their content. ``.out`` and ARAGORN without ``-seq`` hold
coordinates only and need the genome.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from omicsai.errors import InputError
from omicsai.sequences import canonical, parse_fasta
from omicsai.sequences.fasta import read_lines
from omicsai.trna.isotypes import normal_isotype
from omicsai.trna.stockholm import read_stockholm

__all__ = ["Span", "Trna", "read_trnas"]

STATED = re.compile(
    r"tRNA\d*[-_ ]?(?P<isotype>i?f?[A-Za-z]{3,5}2?)[-_ ]?"
    r"\(?(?P<anticodon>[ACGTUN]{3})\)?(?![A-Za-z])",
    re.IGNORECASE,
)
ARAGORN_LINE = re.compile(
    r"^\d+\s+tRNA-(?P<isotype>\S+)\s+(?P<strand>c?)\[(?P<start>-?\d+),(?P<end>\d+)\]\s+\d+"
    r"\s+\((?P<anticodon>[a-z]{2,4})\)(?:i\((?P<at>\d+),(?P<length>\d+)\))?"
)
COMPLEMENT = str.maketrans("ACGTUNacgtun", "UGCAANugcaan")
Span = tuple[int, int]  # start, from 0, and length
SHOWN = "FASTA, tRNAscan-SE .ss or .out, ARAGORN -w, or Stockholm"


@dataclass(frozen=True)
class Trna:
    """One tRNA as it was found.

    Attributes
    ----------
    id
        Name, made unique by the reader where a tool gives none.
    sequence
        Canonical RNA; as given where `problem` is set.
    problem
        Why it cannot be used; empty if it can.
    isotype, anticodon
        What header or table state, normalised; empty if nothing.
    introns
        Start (from 0) and length within `sequence` of each that the source tells of.
    """

    id: str
    sequence: str
    problem: str = ""
    isotype: str = ""
    anticodon: str = ""
    introns: tuple[Span, ...] = ()


def read_trnas(path: Path | str, genome: Path | str | None = None) -> list[Trna]:
    """Read tRNAs from any of the supported formats.

    Parameters
    ----------
    path
        The file, plain or compressed.
    genome
        FASTA of the sequences that a table of coordinates refers to.

    Returns
    -------
    list of Trna
        Every record of the file in its order; unusable ones carry a problem.

    Raises
    ------
    InputError
        If the format is not known, or coordinates come without a genome.
    """
    kind = _format_of(path)
    if kind == "stockholm":
        rows, _ = read_stockholm(path)
        found = [_trna(name, row, name) for name, row in rows.items()]
    elif kind == "fasta":
        found = [
            _trna(r.id, r.raw, r.header, r.problem or ("" if r.id else "header without id"))
            for r in parse_fasta(path)
        ]
    elif kind == "ss":
        found = list(_trnascan_structures(path))
    elif kind == "out":
        found = list(_trnascan_table(path, _genome(path, genome)))
    else:
        found = list(_aragorn(path, genome))
    return _mark_repeated(found)


def _lines(path: Path | str) -> Iterator[tuple[int, str]]:
    for number, content in read_lines(path, SHOWN):
        yield number, content.decode("utf-8", errors="replace")


def _format_of(path: Path | str) -> str:
    head = []
    for _, line in _lines(path):
        if line.strip():
            head.append(line)
        if len(head) == 2:
            break
    first = head[0] if head else ""
    second = head[1] if len(head) > 1 else ""
    if first.startswith("# STOCKHOLM"):
        return "stockholm"
    if first.startswith(">") and re.match(r"\s*\d+ genes? found|\s*Nothing found", second):
        return "aragorn"
    if first.startswith(">"):
        return "fasta"
    if re.match(r"\S+\.trna\d+\s+\(", first):
        return "ss"
    if first.startswith("Sequence") and "tRNA" in first:
        return "out"
    if re.match(r"\S+\s+\d+\s+\d+\s+\d+\s+\w+\s+\w{3}\s", first):
        return "out"
    raise InputError(
        f"{path}, line 1: {first[:40]!r} begins none of the formats read here: {SHOWN}"
    )


def _trna(name: str, raw: str, header: str, problem: str = "", **stated: str) -> Trna:
    sequence, trouble = canonical(raw, "trna")
    match = STATED.search(header)
    isotype = normal_isotype(stated.get("isotype") or (match["isotype"] if match else ""))
    anticodon = stated.get("anticodon") or (match["anticodon"] if match and isotype else "")
    anticodon = anticodon.upper().replace("T", "U")
    return Trna(
        name, sequence, problem or trouble, isotype,
        anticodon if "N" not in anticodon else "",
    )  # fmt: skip


def _mark_repeated(found: list[Trna]) -> list[Trna]:
    seen: dict[str, int] = {}
    marked = []
    for number, trna in enumerate(found, start=1):
        if trna.id in seen:
            told = f"id already used by record {seen[trna.id]}: give each tRNA its own"
            trna = Trna(trna.id, trna.sequence, told, trna.isotype, trna.anticodon)
        seen.setdefault(trna.id, number)
        marked.append(trna)
    return marked


def _trnascan_structures(path: Path | str) -> Iterator[Trna]:
    """Blocks of tRNAscan-SE's secondary structure file."""
    name, fields, introns = "", {"Type": "", "Anticodon": ""}, list[Span]()
    for _, line in _lines(path):
        if match := re.match(r"(\S+)\s+\(\d+-\d+\)", line):
            name, fields, introns = match[1], {"Type": "", "Anticodon": ""}, []
        elif line.startswith("Type:"):
            fields = dict(re.findall(r"(Type|Anticodon):\s*(\S+)", line))
        elif match := re.match(r"Possible intron:\s*(\d+)-(\d+)", line):
            first, last = int(match[1]), int(match[2])
            introns.append((first - 1, last - first + 1))
        elif line.startswith("Seq:"):
            found = _trna(
                name, line[4:].strip(), name,
                isotype=fields.get("Type", ""), anticodon=fields.get("Anticodon", ""),
            )  # fmt: skip
            yield replace(found, introns=tuple(introns))


def _genome(path: Path | str, genome: Path | str | None) -> dict[str, str]:
    if genome is None:
        raise InputError(
            f"{path} holds coordinates and no sequences: give --genome FASTA, or the .ss "
            "file of tRNAscan-SE (-f), or ARAGORN's output with -seq"
        )
    return {record.id: record.raw for record in parse_fasta(genome)}


def _cut_out(
    path: Path | str, number: int, genome: dict[str, str], name: str, start: int, end: int
) -> str:
    if name not in genome:
        raise InputError(f"{path}, line {number}: '{name}' is not in the genome given")
    low, high = min(start, end), max(start, end)
    if not 1 <= low <= high <= len(genome[name]):
        raise InputError(
            f"{path}, line {number}: {low}-{high} lies outside '{name}' "
            f"({len(genome[name])} bases): is it another assembly?"
        )
    piece = genome[name][low - 1 : high]
    return piece if start <= end else piece[::-1].translate(COMPLEMENT)


def _trnascan_table(path: Path | str, genome: dict[str, str]) -> Iterator[Trna]:
    for number, line in _lines(path):
        cells = line.split()
        if len(cells) < 9 or not cells[1].isdigit():
            continue  # the three header lines
        name, serial, isotype, anticodon = cells[0], cells[1], cells[4], cells[5]
        start, end = int(cells[2]), int(cells[3])
        raw = _cut_out(path, number, genome, name, start, end)
        found = _trna(f"{name}.trna{serial}", raw, "", isotype=isotype, anticodon=anticodon)
        # bounds of several introns are joined by commas; 0 is none
        firsts, lasts = ([int(k) for k in cells[c].split(",")] for c in (6, 7))
        introns = tuple(
            (abs(first - start), abs(last - first) + 1)
            for first, last in zip(firsts, lasts, strict=True)
            if first
        )
        yield replace(found, introns=introns)


def _aragorn(path: Path | str, genome: Path | str | None) -> Iterator[Trna]:
    """Batch output of ARAGORN, with sequences (-seq) or with the genome beside it."""
    found: list[tuple[int, str, re.Match[str], list[str]]] = []
    name, serial = "", 0
    for number, line in _lines(path):
        if line.startswith(">"):
            name, serial = (line[1:].split() or [""])[0], 0
        elif match := ARAGORN_LINE.match(line):
            serial += 1
            found.append((number, name, match, []))
        elif found and re.fullmatch(r"[acgtunryswkmbdhv]+", line.strip(), re.IGNORECASE):
            found[-1][3].append(line.strip())
    pool = None
    counts: dict[str, int] = {}
    for number, name, match, pieces in found:
        counts[name] = counts.get(name, 0) + 1
        if not pieces:
            pool = pool or _genome(path, genome)
            start, end = int(match["start"]), int(match["end"])
            ends = (end, start) if match["strand"] else (start, end)
            pieces = [_cut_out(path, number, pool, name, *ends)]
        trna = _trna(
            f"{name}.trna{counts[name]}", "".join(pieces), "",
            isotype=match["isotype"], anticodon=match["anticodon"],
        )  # fmt: skip
        told = ((int(match["at"]) - 1, int(match["length"])),) if match["at"] else ()
        yield replace(trna, introns=told)
