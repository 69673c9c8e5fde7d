"""What becomes of an answer that cannot be written: no exit status says yes or no of what nobody could read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ..support.pki import Ca
from .test_cert import DEVICE, pem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = {
    "help": ["--help"],
    "table": ["fleet", "kinds"],
    "sheet": ["cert", "inspect", "refused.pem"],
    "verdict in JSON": ["cert", "verify", "--json", "--ca-file", "root.pem", "refused.pem"],
    "bulk": ["cert", "bulk", "--anchors", "root.pem", "refused.pem"],
    "bulk in JSON": ["cert", "bulk", "--json", "--anchors", "root.pem", "refused.pem"],
    "doctor": ["doctor"],
}


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.pem").write_bytes(Ca.root("Another Root").pem)
    (tmp_path / "refused.pem").write_bytes(pem(DEVICE))


@contextmanager
def full() -> Iterator[int]:
    opened = os.open("/dev/full", os.O_WRONLY)
    yield opened
    os.close(opened)


@contextmanager
def closed_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def run(words: list[str], stdout: int, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfast", *words]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=60, env=environment
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_g04_an_answer_that_does_not_fit_is_an_error(words: list[str]) -> None:
    with full() as stdout:
        finished = run(words, stdout)
    assert finished.returncode == 3
    last = finished.stderr.splitlines()[-1]
    code = json.loads(last)["error"] if "--json" in words else last.rpartition("(")[2].rstrip(")")
    assert code == "file_not_written"
    assert "standard output: No space left on device" in last
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_reader_that_has_gone_ends_a_command_as_it_ends_every_other(words: list[str]) -> None:
    """`holdfast … | true`: what a shell says of whom SIGPIPE has ended, never 0 or 1."""
    with closed_pipe() as stdout:
        finished = run(words, stdout)
    assert finished.returncode == 141
    assert "Traceback" not in finished.stderr
    assert "Exception" not in finished.stderr


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_an_answer_that_nothing_is_open_for_is_an_error(words: list[str]) -> None:
    script = 'exec "$0" -m holdfast "$@" >&-'
    finished = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == 3
    assert "file_not_written" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_what_has_nothing_to_say_needs_no_output() -> None:
    script = 'exec "$0" -m holdfast cert verify --ca-file root.pem nothing.pem <&- >&- 2>&-'
    finished = subprocess.run(["/bin/sh", "-c", script, sys.executable], check=False, timeout=60)
    assert finished.returncode == 3


def test_a_letter_that_cannot_be_written_is_written_in_others(tmp_path: Path) -> None:
    """The signs of the doctor's table, and a name in Greek, where the terminal knows ASCII alone."""
    (tmp_path / "holdfast.toml").write_text('tenant = "Ωμέγα"\n')
    shown = {encoding: run(["doctor"], subprocess.PIPE, encoding) for encoding in ("utf-8", "ascii")}
    assert [one.returncode for one in shown.values()] == [1, 1]
    assert all(sign in shown["utf-8"].stdout for sign in ("✗", "→", "Ωμέγα"))
    assert all(sign in shown["ascii"].stdout for sign in ("|NO |", "-> ", "\\u03a9"))
