"""What a clone must and must not carry."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from .repository import ROOT, files

if TYPE_CHECKING:
    from pathlib import Path

# A place of one machine, or the host of a package registry; written so that they do not find themselves.
MACHINE_PATHS = r"/(?:home|root|work|Users|opt/wheels)/[\w.]"
REGISTRY_HOSTS = "|".join(
    [r"\bpypi[.]org", r"files[.]pythonhosted", r"\bcrates[.]io", r"registry[.]npmjs", r"deb[.]debian"]
)
TEXTS = [path for path in files() if path.suffix not in {".der", ".gz", ".png", ".seed"}]


@pytest.mark.parametrize("path", TEXTS, ids=[str(path.relative_to(ROOT)) for path in TEXTS])
def test_a_file_names_no_machine_and_no_registry(path: Path) -> None:
    text = path.read_text()
    assert not re.findall(MACHINE_PATHS, text)
    if path.name != "Cargo.lock":  # cargo's own format
        assert not re.findall(REGISTRY_HOSTS, text)


def test_every_tool_is_pinned_exactly() -> None:
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 10
    for pin in pins:
        assert re.fullmatch(r"[\w.-]+==[\w.]+(; sys_platform != \"win32\")?", pin)


def test_make_help_names_every_target() -> None:
    shown = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory", "help"], capture_output=True, text=True, check=True
    )
    (targets,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(targets.split()) > 10
    for target in targets.split():
        assert re.search(rf"^  make {target} +\w", shown.stdout, re.MULTILINE)


def test_the_changelog_has_something_unreleased() -> None:
    assert re.search(r"^## Unreleased\n\n### \w+\n\n- ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
