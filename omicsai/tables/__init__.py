"""Tables with a declared schema, atomic files and provenance (floor 1)."""

from omicsai.tables.files import (
    atomic_folder,
    atomic_path,
    write_json,
    write_lines,
    write_text,
)
from omicsai.tables.provenance import file_digest, write_provenance
from omicsai.tables.schema import Column, Table

__all__ = [
    "Column",
    "Table",
    "atomic_folder",
    "atomic_path",
    "file_digest",
    "write_json",
    "write_lines",
    "write_provenance",
    "write_text",
]
