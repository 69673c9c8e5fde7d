"""Which room of the package may import which: those below it, never above (design §2)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from .repository import PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Top to bottom. `__main__` only calls `cli`; `errors` and the compiled half are everybody's floor.
ROOMS = [
    "__main__", "cli", "demo", "fleet", "hub", "backup", "inbox", "registry", "possession", "authority", "bulk",
    "verify", "stream", "metrics", "settings", "database", "files", "errors", "_holdfast",
]  # fmt: skip
# Rooms that may know the time or the network; below them both are arguments.
TOP = {"__main__", "cli", "demo", "fleet", "hub"}


def modules() -> list[Path]:
    return sorted(path for path in PYTHON.rglob("*.py") if path != PYTHON / "__init__.py")


def room(module: Path) -> str:
    return module.relative_to(PYTHON).parts[0].removesuffix(".py")


def imported(module: Path) -> Iterator[str]:
    """Every module that `module` imports, written out in full; `from a import b` is both `a` and `a.b`."""
    package = ("holdfast", *module.relative_to(PYTHON).parent.parts)
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            parent = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{parent}.{alias.name}" for alias in node.names)


def rooms_used(module: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(module) if name.startswith("holdfast.")} & set(ROOMS)


MODULES = [pytest.param(module, id=str(module.relative_to(PYTHON))) for module in modules()]


def test_every_module_has_its_room() -> None:
    assert {*map(room, modules()), "_holdfast"} == set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_rooms_below_it(module: Path) -> None:
    below = ROOMS[ROOMS.index(room(module)) :]
    assert rooms_used(module) <= set(below)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_does_not_import_through_the_public_face(module: Path) -> None:
    """What is inside imports from where a name lives; only the version is the package's own."""
    through = {name for name in imported(module) if name.startswith("holdfast.")}
    assert {name.split(".")[1] for name in through} - set(ROOMS) <= {"__version__"}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_top_rooms_know_the_time_or_a_socket(module: Path) -> None:
    if room(module) in TOP:
        return
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)}
    clocks = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.time_ns", "datetime.datetime.now"}
    assert not calls & clocks
    assert not {"socket", "ssl", "http", "urllib"} & {name.split(".")[0] for name in imported(module)}


def test_the_public_face_imports_little() -> None:
    tree = ast.parse((PYTHON / "__init__.py").read_text())
    at_import = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert at_import <= {"__future__", "typing", "holdfast._holdfast", "holdfast.errors"}
