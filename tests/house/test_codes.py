"""Every code that anything raises or logs is provoked by a test, and has its mend in the documentation."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from holdfast._holdfast import codes, connection_codes, fleet_codes

from .repository import PYTHON, ROOT, RUST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TESTS = "".join(
    path.read_text() for path in (*sorted((ROOT / "tests").rglob("test_*.py")), *sorted(RUST.glob("*/tests/**/*.rs")))
) + "".join(path.read_text().partition("#[cfg(test)]")[2] for path in sorted(RUST.glob("*/src/**/*.rs")))
TABLE = (ROOT / "docs" / "codes.md").read_text()


def raised(path: Path) -> Iterator[str]:
    """First arguments of our errors, and what is answered with a code instead of an error."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error") and len(node.args) >= 2:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value
        # What the errors of one kind of file are called.
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Codes":
            yield from (ast.literal_eval(keyword.value) for keyword in node.keywords)


PYTHON_CODES = {code for path in sorted(PYTHON.rglob("*.py")) for code in raised(path)}
# Raised by the compiled half beside the judge's.
BOUND_CODES = set(
    re.findall(
        r'errors::\w+\(\s*[\w.]+(?:\(\))?,\s*"(\w+)"', "".join(p.read_text() for p in RUST.glob("bindings/src/*.rs"))
    )
)
# The judge's own are compared with damaged chains elsewhere.
CODES = sorted(PYTHON_CODES | BOUND_CODES | set(fleet_codes()) | set(connection_codes()) - set(codes()))


def test_codes_are_found() -> None:
    assert {
        "inbox_full",
        "registry_busy",
        "key_mismatch",
        "file_exists",
        "unknown_ca",
        "naive_datetime",
        "identity_pinned",
    } <= set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_a_slug_with_a_case_that_provokes_it(code: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", code)
    assert f'"{code}"' in TESTS


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_its_mend(code: str) -> None:
    assert re.search(rf"^\| `{code}` \| .+ \|$", TABLE, re.MULTILINE)
