"""Command-line options made from the configuration's sections."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic.fields import FieldInfo

from omicsai.config import LARGEST_SEED, Section, options_from
from omicsai.errors import ConfigError

__all__ = ["add_section", "add_seed", "add_threads", "section_of"]

S = TypeVar("S", bound=Section)


def add_section(parser: argparse.ArgumentParser, section: type[Section]) -> None:
    """Add one option per field of a section, with its default and description."""
    for name, field in section.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        shown = _shown_default(field)
        if field.annotation is bool:  # --flag alone is true
            parser.add_argument(
                flag, metavar="{true,false}", nargs="?", const="true",
                default=argparse.SUPPRESS,
                help=f"{field.description} (default: {str(shown).lower()})",
            )  # fmt: skip
            continue
        parser.add_argument(
            flag,
            metavar=_metavar(field),
            nargs="*" if isinstance(field.default, list) else None,
            default=argparse.SUPPRESS,
            help=f"{field.description} (default: {shown})".replace("%", "%%"),
        )


def section_of(arguments: argparse.Namespace, section: type[S]) -> S:
    """Validate a section's options from parsed arguments; absent ones are default."""
    given = vars(arguments)
    chosen = {name: given[name] for name in section.model_fields if name in given}
    try:
        return options_from(section, chosen)  # type: ignore[return-value]
    except ConfigError as error:
        # an option that takes any number of values also takes a file that follows it
        values = [v for value in chosen.values() if isinstance(value, list) for v in value]
        taken = [v for v in [*values, *chosen.values()] if _is_file(v)]
        if not taken:
            raise
        raise ConfigError(f"{error}; write the file '{taken[0]}' before it") from None


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add ``--seed``."""
    parser.add_argument(
        "--seed", type=_seed, default=1, help="seed of every random choice (default: 1)"
    )


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= LARGEST_SEED):
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 to {LARGEST_SEED}")
    return int(text)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")


def _is_file(value: object) -> bool:
    return isinstance(value, str) and Path(value).is_file()


def _metavar(field: FieldInfo) -> str:
    for kind in (field.annotation, *get_args(field.annotation)):  # Literal, or with None
        if get_origin(kind) is Literal:
            return "{" + ",".join(map(str, get_args(kind))) + "}"
    names = {"int": "N", "float": "X", "str": "TEXT"}
    text = str(field.annotation)
    return next((shown for kind, shown in names.items() if kind in text), "VALUE")


def _shown_default(field: FieldInfo) -> Any:
    if field.default is None:
        return "none"
    if isinstance(field.default, list):
        return "none" if not field.default else " ".join(map(str, field.default))
    return field.default
