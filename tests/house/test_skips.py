"""The lane that asks for every test does not pass by skipping some."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = {
    "mark": "import pytest\n@pytest.mark.skip(reason='no broker')\ndef test_it(): pass\n",
    "call": "import pytest\ndef test_it(): pytest.skip('no broker')\n",
    "module": "import pytest\npytest.skip('no broker', allow_module_level=True)\n",
}


DATA = """import pytest
@pytest.mark.vectors
@pytest.mark.skip(reason='no data')
def test_it(): pass
"""


def run(directory: Path, case: str, required: str, vectors: str = "") -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).parents[1] / "conftest.py", directory / "conftest.py")
    text = DATA if case == "data" else CASES[case]
    (directory / "test_case.py").write_text(text + "\ndef test_other(): pass\n" * (case != "module"))
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = vectors\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", directory],
        env={**os.environ, "HOLDFAST_REQUIRE_SERVICES": required, "HOLDFAST_VECTORS": vectors},
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
    )


@pytest.mark.parametrize("case", CASES)
def test_a_skip_is_listed_with_its_reason(tmp_path: Path, case: str) -> None:
    result = run(tmp_path, case, "0")
    assert "1 skipped" in result.stdout
    assert "no broker" in result.stdout
    assert "failed" not in result.stdout


@pytest.mark.parametrize("case", CASES)
def test_a_skip_fails_where_every_test_is_required(tmp_path: Path, case: str) -> None:
    result = run(tmp_path, case, "1")
    assert result.returncode in {1, 2}
    assert "no broker: skipped, but HOLDFAST_REQUIRE_SERVICES=1 asks for every test" in result.stdout
    assert "skipped," not in result.stdout.splitlines()[-1]


def test_data_is_promised_only_where_it_is_said_to_be(tmp_path: Path) -> None:
    assert "1 passed, 1 skipped" in run(tmp_path, "data", "1").stdout
    assert "1 passed, 1 error" in run(tmp_path, "data", "1", vectors="somewhere").stdout
