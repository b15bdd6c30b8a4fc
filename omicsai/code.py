"""Which of our own modules a stage runs, and a digest of them.

Snakemake does not see that a package changed. Each rule therefore carries this digest as a
parameter: an edit of a module reruns the stages that import it, a touch reruns nothing.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

__all__ = ["code_digest", "imported_modules"]

PACKAGE = Path(__file__).parent


def code_digest(stage: str) -> str:
    """Digest of every module that the command of a stage may import.

    Parameters
    ----------
    stage
        Name of the command, for example ``"split"``.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    whole = hashlib.sha256()
    for module in sorted(_closure(f"omicsai.cli.{stage}")):
        for file in _files(module):
            whole.update(f"{module} {file.name}\0".encode())
            whole.update(file.read_bytes())
    return whole.hexdigest()[:12]


@cache
def imported_modules(module: str) -> frozenset[str]:
    """Modules of this package that a module imports itself, anywhere in its code."""
    path = _path(module)
    assert path is not None, module
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name for name in found if name.startswith("omicsai.") and _path(name)}
    return frozenset(ours)


def _closure(module: str) -> set[str]:
    done: set[str] = set()
    todo = {module}
    while todo:
        done |= todo
        parents = {name.rsplit(".", 1)[0] for name in todo} - {"omicsai", "omicsai.cli"}
        reached = parents.union(*(imported_modules(name) for name in todo))
        todo = reached - done
    return done


@cache
def _path(module: str) -> Path | None:
    """File of a module of this package; None if there is no such module."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (place / "__init__.py", place.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def _files(module: str) -> list[Path]:
    """Return the module's file; for a package also the data files it brings."""
    path = _path(module)
    assert path is not None, module
    if path.name != "__init__.py":
        return [path]
    data = [*path.parent.glob("templates/*"), *path.parent.glob("data/*")]
    return [path, *sorted(f for f in data if f.is_file() and f.suffix != ".md")]
