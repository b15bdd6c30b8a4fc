"""The floors of the house: a module imports only from floors below its own."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import omicsai

PACKAGE = Path(omicsai.__file__).parent
GROUND = {"errors", "fetch", "progress", "version", "sequences", "tables"}
SECOND = {"homology", "domains", "embedding", "trna"}
# what each part of the package may import, besides itself
ALLOWED = {
    "errors": set(),
    "version": set(),
    "progress": set(),
    "fetch": {"errors", "progress"},
    "tables": {"errors", "version"},
    "sequences": {"errors", "progress", "tables"},
    "homology": GROUND,
    "domains": GROUND,
    "embedding": GROUND,
    "trna": GROUND,
    "robust": GROUND,
    "simulate": GROUND | {"domains", "trna"},
    "report": GROUND | SECOND | {"robust", "simulate"},
    "config": {"errors"},
    "batches": {"errors"},
    "schemas": GROUND | SECOND | {"robust", "simulate", "batches", "config"},
    "code": set(),
}
HEAVY = {"pyfamsa", "pyopal", "torch", "transformers", "pyhmmer", "sklearn", "matplotlib"}
NEVER_EARLY = (
    "t5.py",
    "linear.py",
    "varlen.py",
    "pooling.py",
    "pretrain.py",
    "transfer.py",
)
PARTS = sorted({path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")})


def files_of(part: str) -> list[Path]:
    place = PACKAGE / part
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def imports(tree: ast.AST) -> set[str]:
    """Full names that a tree imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module)
            if node.module == "omicsai":
                found |= {f"omicsai.{alias.name}" for alias in node.names}
    return found


def at_import(tree: ast.Module) -> set[str]:
    """Full names imported when the module is, leaving out functions and type checks."""
    found: set[str] = set()
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= imports(node)
        todo += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_from_the_floors_below(part):
    name = part.removesuffix(".py")
    if name in ("cli", "__init__", "__main__", "py"):
        return  # the top floor
    assert name in ALLOWED, f"say on which floor 'omicsai.{name}' is"
    for path in files_of(part):
        ours = {
            module.split(".")[1]
            for module in imports(ast.parse(path.read_bytes()))
            if module.startswith("omicsai.")
        }
        foreign = ours - ALLOWED[name] - {name}
        assert not foreign, f"{path.relative_to(PACKAGE)} imports {foreign}"


def test_only_the_command_line_is_above_the_report():
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in ("cli", "__main__.py", "report"):
            continue
        tree = imports(ast.parse(path.read_bytes()))
        above = {m for m in tree if m.startswith(("omicsai.cli", "omicsai.report"))}
        assert not above, f"{path.relative_to(PACKAGE)} imports {above}"


@pytest.mark.parametrize(
    "path",
    sorted(PACKAGE.rglob("*.py")),
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_heavy_libraries_are_imported_where_they_are_needed(path):
    part = path.relative_to(PACKAGE).parts[0]
    heavy = {module.split(".")[0] for module in at_import(ast.parse(path.read_bytes()))}
    heavy &= HEAVY
    if part == "robust" or path.name in NEVER_EARLY:
        heavy -= {"torch"}
    if part == "report":
        heavy -= {"matplotlib"}
    assert not heavy


def test_the_command_line_loads_stages_when_they_run():
    for path in (PACKAGE / "cli").glob("*.py"):
        ours = {m for m in at_import(ast.parse(path.read_bytes())) if "omicsai." in m}
        allowed = {"omicsai.cli", "omicsai.config", "omicsai.errors", "omicsai.version"}
        lower = {m for m in ours if not m.startswith(tuple(allowed))}
        assert lower <= {"omicsai.sequences", "omicsai.sequences.labels"}, path.name


def test_every_imported_distribution_is_declared():
    """What the package imports is in pyproject.toml, so a fresh install runs."""
    import tomllib

    told = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    declared = {
        requirement.split(">")[0].split("[")[0].strip().lower()
        for requirement in [
            *told["project"]["dependencies"],
            *told["project"]["optional-dependencies"]["build"],
        ]
    }
    names = {"Bio": "biopython", "sklearn": "scikit-learn", "yaml": "pyyaml"}
    names |= {"scoring_matrices": "scoring-matrices", "triton": "torch"}  # with GPUs
    used = {
        module.split(".")[0]
        for path in PACKAGE.rglob("*.py")
        for module in imports(ast.parse(path.read_bytes()))
    }
    foreign = used - sys.stdlib_module_names - {"omicsai", "__future__"}
    assert {names.get(name, name).lower() for name in foreign} <= declared


def test_every_public_name_is_there():
    for name in omicsai.__all__:
        assert getattr(omicsai, name) is not None
    with pytest.raises(AttributeError, match="module 'omicsai' has no attribute 'nope'"):
        omicsai.nope  # noqa: B018
