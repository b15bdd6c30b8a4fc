"""What made a result: versions, options and digests of the inputs.

Nothing that varies between two equal runs (time, host, threads) is recorded, so that a
rerun gives the same bytes; times are in Snakemake's benchmark files.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

from omicsai.tables.files import write_json
from omicsai.version import __version__

__all__ = ["file_digest", "package_versions", "write_provenance"]


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text; of a folder, of its files."""
    path = Path(path)
    if path.is_dir():
        whole = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            whole.update(f"{file.relative_to(path)}\0{file_digest(file)}\n".encode())
        return whole.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def package_versions(*names: str) -> dict[str, str]:
    """Versions of installed distributions, by name."""
    return {name: metadata.version(name) for name in names}


def write_provenance(
    path: Path | str,
    *,
    stage: str,
    options: dict[str, Any],
    inputs: dict[str, Path],
    tools: dict[str, str] | None = None,
) -> None:
    """Write ``<stage>.provenance.json`` beside a stage's results.

    Parameters
    ----------
    path
        The JSON file to write.
    stage
        Name of the stage.
    options
        Values the stage was run with.
    inputs
        Files the stage read, by role.
    tools
        Versions of the tools and libraries that shaped the result.
    """
    write_json(
        path,
        {
            "stage": stage,
            "omicsai": __version__,
            "options": options,
            "tools": dict(sorted((tools or {}).items())),
            "inputs": {
                role: {"file": Path(file).name, "sha256": file_digest(file)}
                for role, file in sorted(inputs.items())
            },
        },
    )
