"""What all commands do alike: how they end, what they say of it, what they take for a number."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NoReturn
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from holdfast.cli import cert
from holdfast.cli.root import holdfast

if TYPE_CHECKING:
    from click.testing import Result


def run(*words: str) -> Result:
    with patch.object(sys, "argv", ["holdfast", *words]):
        return CliRunner().invoke(holdfast, words, catch_exceptions=False)


def test_ctrl_c_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """130, as a shell has it; 1 would be "the answer is no"."""

    def interrupt(_file: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(cert, "read_certificates", interrupt)
    finished = run("cert", "inspect", "a.pem")
    assert (finished.exit_code, finished.stdout, finished.stderr) == (130, "", "holdfast: interrupted (interrupted)\n")
    finished = run("cert", "inspect", "a.pem", "--json")
    assert (finished.exit_code, json.loads(finished.stderr)["error"]) == (130, "interrupted")


@pytest.mark.parametrize(
    "words",
    [
        ("fleet", "show", "a\nb\x1b[2J"),
        ("cert", "inspect", "a\nb\x1b[2J"),
        ("cert", "verify", "--purpose", "a\nb\x1b[2J"),
        ("nothing\nof\x1b[2J",),
    ],
)
def test_an_error_repeats_no_control_characters(words: tuple[str, ...]) -> None:
    finished = run(*words)
    assert finished.exit_code in {2, 3}
    assert "\x1b" not in finished.stderr
    assert "\\x1b[2J" in finished.stderr.splitlines()[-1]


@pytest.mark.parametrize("words", [(), ("ca",), ("branch",)])
def test_what_is_asked_nothing_shows_its_help(words: tuple[str, ...]) -> None:
    finished = run(*words)
    assert finished.exit_code == 2
    assert len(finished.output.splitlines()) > 10
    assert "\\n" not in finished.output


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        ("top", "--interval"),
        ("fleet", "connect", "localhost", "f", "--rate"),
        ("fleet", "connect", "localhost", "f", "--patience"),
        ("fleet", "publish", "localhost", "f", "--seconds"),
        ("fleet", "misbehave", "localhost", "f", "all", "--honest"),
    ],
)
def test_what_is_no_number_is_a_usage_error(words: tuple[str, ...], number: str) -> None:
    finished = run(*words, number)
    assert finished.exit_code == 2
    assert f"Invalid value for '{words[-1]}'" in finished.stderr
