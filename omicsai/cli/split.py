"""``omicsai split``."""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path
from typing import Any

from omicsai.cli.options import add_section, add_seed, add_threads, section_of
from omicsai.config import SplitOptions
from omicsai.errors import InputError

HELP = "split by homology into train, validation and test, and audit what leaks"
EXAMPLE = (
    "omicsai split proteins.fasta --labels labels.tsv --identity 0.3 --coverage 0.5 "
    "--seed 1 --out split"
)

SEARCHED = ".searched"  # finished searches, until the split is written

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fasta", type=Path, nargs="+", help="FASTA files")
    parser.add_argument(
        "--molecule", choices=["protein", "trna"], default="protein",
        help="what the sequences are (default: protein)",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, nargs="+", default=[],
        help="tables with the columns id and label, for stratification",
    )  # fmt: skip
    parser.add_argument(
        "--label-column", default="label", help="name of that column (default: label)"
    )
    add_section(parser, SplitOptions)
    parser.add_argument(
        "--groups", type=Path,
        help="table with id and a column, for the methods family (architectures.tsv of "
        "'annotate'), column and time",
    )  # fmt: skip
    parser.add_argument(
        "--group-column", default="architecture",
        help="name of that column (default: architecture)",
    )  # fmt: skip
    parser.add_argument(
        "--clans", type=Path,
        help="table with the columns id (a family) and clan: hold out whole clans",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path,
        help="table with the columns id and part: these sequences stay in these parts, for "
        "example an existing test set",
    )  # fmt: skip
    parser.add_argument(
        "--extend", type=Path,
        help="split.tsv of an earlier split: nothing in it moves, new sequences join it; "
        "give the FASTA files of both",
    )  # fmt: skip
    parser.add_argument("--pin", type=Path, help="file with one id a line: never removed")
    add_seed(parser)
    add_threads(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Split, audit and write."""
    from omicsai.cli.inputs import column_of, labels_of, pooled_labels, pooled_sequences
    from omicsai.code import code_digest
    from omicsai.homology import (
        CLUSTERS,
        COMPARISON,
        CROSSING,
        IDENTITY_TO_TRAIN,
        REMOVED,
        SPLIT,
        split_sequences,
    )
    from omicsai.tables import write_json, write_provenance
    from omicsai.tables.provenance import package_versions

    options = section_of(arguments, SplitOptions)
    sequences = pooled_sequences(arguments.fasta, arguments.molecule)
    ids = [record.id for record in sequences]
    labels = labels_of(ids, pooled_labels(arguments.labels, arguments.label_column))
    if options.stratify and not arguments.labels:
        raise InputError("--stratify names columns of the label tables: give --labels")
    more: dict[str, Any] = {}
    if arguments.groups:
        more["groups"] = _by_id(ids, column_of([arguments.groups], arguments.group_column))
    if arguments.clans:
        more["clans"] = column_of([arguments.clans], "clan")
    if arguments.keep and arguments.extend:
        raise InputError("--keep and --extend both fix parts: give one of them")
    if arguments.keep:
        kept = column_of([arguments.keep], "part")
        _refuse_unknown(kept, ids, "--keep", arguments.keep)
        more["keep"] = _by_id(ids, kept)
    if arguments.extend:
        earlier = SPLIT.read(arguments.extend).set_index("id")
        gone = sorted(set(earlier.index) - set(ids))
        if gone:
            raise InputError(
                f"{len(gone)} sequences of {arguments.extend} are not in the FASTA files, "
                f"for example '{gone[0]}': give the files of the earlier split too"
            )
        more |= {"keep": earlier["part"].to_dict(), "extend": True}
        if "fold" in earlier:
            more["kept_folds"] = earlier["fold"].dropna().astype(int).to_dict()
    if arguments.pin:
        if not arguments.pin.is_file():
            raise InputError(f"{arguments.pin} is no file: --pin takes one id a line")
        lines = arguments.pin.read_text(encoding="utf-8").splitlines()
        pins = {line.strip(): "pinned" for line in lines if line.strip()}
        _refuse_unknown(pins, ids, "--pin", arguments.pin)
        more["unremovable"] = [key for key, word in _by_id(ids, pins).items() if word]
    result = split_sequences(
        sequences,
        dict(zip(ids, labels, strict=True)),
        **options.model_dump(exclude={"stratify"}),
        columns={
            name: _by_id(ids, column_of(arguments.labels, name))
            for name in options.stratify
        },
        **more,
        molecule=arguments.molecule,
        seed=arguments.seed,
        threads=arguments.threads,
        done=arguments.out / SEARCHED / code_digest("split"),
    )
    SPLIT.write(result.split, arguments.out / "split.tsv")
    CLUSTERS.write(result.clusters, arguments.out / "clusters.tsv")
    REMOVED.write(result.removed, arguments.out / "removed.tsv")
    CROSSING.write(result.crossing, arguments.out / "crossing.tsv")
    IDENTITY_TO_TRAIN.write(
        result.identity_to_train, arguments.out / "identity_to_train.tsv"
    )
    COMPARISON.write(result.comparison, arguments.out / "comparison.tsv")
    write_json(arguments.out / "audit.json", result.audit)
    inputs = {f"fasta_{i}": path for i, path in enumerate(arguments.fasta, 1)}
    inputs |= {f"labels_{i}": path for i, path in enumerate(arguments.labels, 1)}
    tables = ("groups", "clans", "keep", "extend", "pin")
    inputs |= {t: getattr(arguments, t) for t in tables if getattr(arguments, t)}
    write_provenance(
        arguments.out / "split.provenance.json",
        stage="split",
        options={
            **options.model_dump(),
            "molecule": arguments.molecule,
            "label_column": arguments.label_column,
            "group_column": arguments.group_column,
            "seed": arguments.seed,
        },
        inputs=inputs,
        tools={"mmseqs": result.audit["mmseqs"], **package_versions("pyopal", "scipy")},
    )
    shutil.rmtree(arguments.out / SEARCHED, ignore_errors=True)
    _tell(result.audit)


def _refuse_unknown(named: dict[str, str], ids: list[str], option: str, file: Path) -> None:
    """Refuse ids that are to stay and are not there: a test set would be lost unsaid."""
    from omicsai.sequences.labels import label_key

    unknown = sorted(named.keys() - {label_key(named, key) for key in ids})
    if unknown:
        raise InputError(
            f"{len(unknown)} ids of {file} ({option}) are not among the sequences, for "
            f"example '{unknown[0]}': correct them, or leave them out"
        )


def _by_id(ids: list[str], values: dict[str, str]) -> dict[str, str]:
    """Value of each sequence, by its id or accession."""
    from omicsai.cli.inputs import labels_of

    return dict(zip(ids, labels_of(ids, values), strict=True))


def _tell(audit: dict[str, Any]) -> None:
    """Log what was made and what to know about it."""
    logger.info(
        "%s; similar pairs between parts: %d",
        ", ".join(f"{part} {n}" for part, n in audit["sequences"].items()),
        audit["crossing_pairs"]["coverage_of_either"],
    )
    if audit["cut_components"]:
        logger.warning(
            "%d families were too large for a part and were cut, removing %d sequences "
            "(removed.tsv)",
            audit["cut_components"], audit["removed"],
        )  # fmt: skip
    if audit["too_short_for_the_evalue"]:
        logger.warning(
            "%d sequences are too short for any significant alignment: only equal ones are "
            "kept together",
            audit["too_short_for_the_evalue"],
        )
    if audit["untestable_labels"]:
        logger.warning(
            "labels that live in one family cannot be tested and go to one part: %s",
            ", ".join(audit["untestable_labels"][:10]),
        )
