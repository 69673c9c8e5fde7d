"""Every code that the authority raises is provoked by a test, and has its mend in the documentation."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import holdfast

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = Path(holdfast.__file__).parent
SOURCES = [*sorted((PACKAGE / "authority").glob("*.py")), PACKAGE / "cli" / "authority.py"]
TESTS = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))


def codes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error") and len(node.args) >= 2:
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)


CODES = sorted({code for path in SOURCES for code in codes(path)} | {"no_certificate"})


def test_codes_are_found() -> None:
    assert {"key_mismatch", "file_exists", "secret_file_exposed", "bad_request_signature", "no_devices"} <= set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_a_slug_with_a_case_that_provokes_it(code: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", code)
    assert f'"{code}"' in TESTS


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_its_mend(code: str) -> None:
    assert re.search(rf"^\| `{code}` \| .+ \|$", (ROOT / "docs" / "codes.md").read_text(), re.MULTILINE)
