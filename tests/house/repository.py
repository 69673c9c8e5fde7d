"""Where the house's tests find its files: what git would carry, and nothing that a build left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUST = ROOT / "rust"
PYTHON = ROOT / "python" / "holdfast"


def files() -> list[Path]:
    """Every file that is, or is about to be, under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def crates() -> list[Path]:
    """The directories of the workspace's crates."""
    return sorted(path.parent for path in RUST.glob("*/Cargo.toml") if path.parent.name != "fuzz")
