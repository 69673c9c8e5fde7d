"""What importing the package, and asking the command for help, loads and says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import holdfast
from holdfast.cli.root import NOUNS

from .repository import ROOT

# Each costs tens of milliseconds, and none is needed to judge a chain or to print help.
HEAVY = {"alembic", "asyncio", "cryptography", "rich", "sqlalchemy", "ssl", "structlog", "uvloop"}
LOADED = "import sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)


def loaded_by(code: str) -> set[str]:
    return set(json.loads(python(f"{code}\n{LOADED}").stderr))


def test_importing_holdfast_loads_little() -> None:
    extra = loaded_by("import holdfast") - loaded_by("pass")
    assert not {name.split(".")[0] for name in extra} & (HEAVY | {"click"})
    assert {name for name in extra if name.startswith("holdfast")} == {
        "holdfast",
        "holdfast._holdfast",
        "holdfast.errors",
    }


def test_what_is_public_is_there_and_documentation_leads_nowhere_else() -> None:
    assert all(hasattr(holdfast, name) for name in holdfast.__all__)
    assert {"codes", "kernel"} <= set(holdfast.__all__)
    named = [path for path in (ROOT / "docs").glob("*.md") if "holdfast._holdfast" in path.read_text()]
    assert named == []


def test_help_names_every_noun_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['holdfast', '--help']\n"
        "from holdfast.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    result = python(code)
    for noun in NOUNS:
        assert f"\n  {noun} " in result.stdout
    assert not {name.split(".")[0] for name in loaded_by(code)} & HEAVY


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_has_help(noun: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "holdfast", noun, "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert f"holdfast {noun}" in result.stdout


def test_an_unknown_noun_is_a_usage_error() -> None:
    result = subprocess.run([sys.executable, "-m", "holdfast", "nought"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "No such command 'nought'" in result.stderr


def test_without_the_extra_the_command_says_which_one_to_install() -> None:
    hide = "import sys; sys.modules['click'] = None\nfrom holdfast.cli import main\nmain()"
    result = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.strip()) == (
        1,
        "holdfast: the command line needs its extra: pip install 'holdfast[cli]'",
    )
