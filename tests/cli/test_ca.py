"""`holdfast ca`: the way of a CA through the command line, its answers for people and for programs, its exits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.hub import status

from ..support.pki import DAY, NOW, Ca, key_pem
from .command import Command

if TYPE_CHECKING:
    from pathlib import Path

ROOT = Ca.root("Company-X Root")

ca = Command("ca")
answer, complaint = ca.answer, ca.complaint


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holdfast.toml").write_text('hub = "hub.test"\n')
    (tmp_path / "root.pem").write_bytes(ROOT.pem)


def test_the_whole_way_of_a_ca(tmp_path: Path) -> None:
    added = answer("add", "root.pem", "--name", "company-x")
    assert (added["state"], added["subject"], added["proof"]) == ("submitted", "CN=Company-X Root", None)
    issued = json.loads(ca("challenge", "company-x", "--out", "challenge.json", "--json").stdout)
    document = json.loads((tmp_path / "challenge.json").read_text())
    assert document["format"] == "holdfast-possession-challenge"
    assert (document["hub"], document["tenant"], document["code"]) == ("hub.test", "default", issued["code"])
    (tmp_path / "proof.pem").write_bytes(ROOT.verification(document["code"]))
    proven = answer("prove", "company-x", "--certificate", "proof.pem")
    assert (proven["state"], proven["proof"]) == ("proven", "issuance")
    assert [(one["name"], one["state"]) for one in answer("list")] == [("company-x", "proven")]
    before = answer("list")
    preview = answer("disable", "company-x", "--preview")
    assert (preview["sha256"], preview["devices"], preview["registered_as"]) == (added["spki_sha256"], 0, ["company-x"])
    asked = ca("disable", "company-x", stdin=b"n\n")
    assert (asked.returncode, "registered as: company-x" in asked.stderr, "Disable?" in asked.stderr) == (1, True, True)
    assert answer("list") == before
    said = answer("disable", "company-x", "--yes", "--etag", proven["etag"])
    assert (said["state"], said["closed_by"]) == ("disabled", ["ca disable company-x"])
    assert said["applied"] == "no hub runs here"
    assert complaint("disable", "company-x", "--preview", status=6)["error"] == "illegal_move"
    assert complaint("enable", "company-x", "--etag", proven["etag"], status=6)["error"] == "etag_mismatch"
    enabled = answer("enable", "company-x")
    assert (enabled["state"], enabled["closed_by"]) == ("proven", [])
    assert answer("show", "company-x")["fingerprint"] == added["fingerprint"]
    assert answer("delete", "company-x", "--yes") == {
        "name": "company-x",
        "state": "deleted",
        "closed_by": [],
        "applied": "no hub runs here",
    }
    assert answer("list") == []


def test_a_person_reads_lines_and_a_table() -> None:
    shown = ca("add", "root.pem", "--name", "company-x").stdout
    assert "state        submitted\n" in shown
    assert "proof" not in shown
    table = ca("list").stdout
    assert "company-x" in table
    assert "submitted" in table
    assert "CN=Company-X Root" in table
    ca("delete", "company-x")
    nobody = ca("list")
    assert (nobody.stdout, nobody.stderr) == ("", "no CA is registered\n")


def test_a_certificate_comes_by_standard_input_too() -> None:
    assert answer("add", "-", "--name", "company-x", stdin=ROOT.der)["state"] == "submitted"


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("add", "nowhere.pem", "--name", "x"), 3, "unreadable_file"),
        (("add", ".", "--name", "x"), 3, "unreadable_file"),
        (("add", "key.pem", "--name", "x"), 3, "private_key_in_upload"),
        (("add", "expired.pem", "--name", "x"), 3, "expired"),
        (("add", "huge.pem", "--name", "x"), 3, "file_too_large"),
        (("add", "root.pem", "--name", "a b"), 3, "bad_ca_name"),
        (("add", "root.pem", "--name", "taken"), 6, "ca_already_registered"),
        (("show", "nobody"), 3, "unknown_ca"),
        (("list", "--tenant", "other"), 3, "unknown_tenant"),
        (("show", b"n\xff"), 3, "unknown_ca"),
        (("prove", "taken", "--certificate", "root.pem"), 6, "illegal_move"),
        (("prove", "taken", "--signature", "no-proof.json"), 3, "bad_proof"),
        (("enable", "taken"), 6, "illegal_move"),
        (("list", "--hub", "other.test"), 3, "other_deployment"),
        (("list", "--state-dir", "elsewhere"), 3, "no_registry"),
        (("list", "--config", "elsewhere.toml"), 3, "unreadable_file"),
        (("challenge", "taken", "--out", "root.pem"), 6, "file_exists"),
    ],
)
def test_complaints_have_a_code_and_an_exit(
    tmp_path: Path, words: tuple[str | bytes, ...], status: int, code: str
) -> None:
    (tmp_path / "key.pem").write_bytes(key_pem(ROOT.key))
    (tmp_path / "expired.pem").write_bytes(Ca.root(begins=NOW - 2 * DAY, ends=NOW - DAY).pem)
    (tmp_path / "no-proof.json").write_text("{}")
    (tmp_path / "huge.pem").write_bytes(ROOT.pem + b"\n" * 2_000_000)
    answer("add", "root.pem", "--name", "taken")
    assert complaint(*words, status=status)["error"] == code
    assert (tmp_path / "root.pem").read_bytes() == ROOT.pem


def test_a_name_that_is_none_is_quoted_once() -> None:
    assert complaint("add", "root.pem", "--name", "a b", status=3)["message"].startswith("'a b' is not a name")


def test_a_wrong_answer_ends_with_1_and_says_what_was_wanted(tmp_path: Path) -> None:
    answer("add", "root.pem", "--name", "company-x")
    ca("challenge", "company-x")
    (tmp_path / "proof.pem").write_bytes(ROOT.verification("HFPOP1-" + "A" * 52))
    finished = ca("prove", "company-x", "--certificate", "proof.pem")
    assert finished.returncode == 1
    assert "(proof_wrong_code). Wanted is CN=HFPOP1-" in finished.stderr


@pytest.mark.parametrize(
    "words",
    [("add", "root.pem"), ("prove", "x"), ("prove", "x", "--certificate", "a", "--signature", "b"), ("list", "--what")],
)
def test_usage_errors_end_with_2(words: tuple[str, ...]) -> None:
    assert ca(*words).returncode == 2


def test_a_proven_ca_is_deleted_only_on_a_clear_word(tmp_path: Path) -> None:
    answer("add", "root.pem", "--name", "company-x")
    document = json.loads(ca("challenge", "company-x").stdout)
    (tmp_path / "proof.pem").write_bytes(ROOT.verification(document["code"]))
    answer("prove", "company-x", "--certificate", "proof.pem")
    assert complaint("delete", "company-x", status=1, stdin=b"n\n", note="delete it?")["error"] == "not_confirmed"
    assert complaint("delete", "company-x", status=3, note="CA 'company-x' is proven")["error"] == "nobody_to_ask"
    assert answer("show", "company-x")["state"] == "proven"
    assert interrupted("delete", "company-x", "--json")["error"] == "interrupted"
    assert answer("show", "company-x")["state"] == "proven"
    assert ca("delete", "company-x", stdin=b"y\n").returncode == 0


def test_a_proof_for_a_tenant_that_the_hub_does_not_serve_is_said_to_reach_nobody(tmp_path: Path) -> None:
    answer("add", "root.pem", "--name", "company-x")
    document = json.loads(ca("challenge", "company-x").stdout)
    (tmp_path / "proof.pem").write_bytes(ROOT.verification(document["code"]))
    with status.locked(tmp_path / "state"):
        status.write(tmp_path / "state", tenant="other", epoch=1, workers={})
        elsewhere = "by nobody: the hub that runs here serves the tenant 'other'"
        assert answer("prove", "company-x", "--certificate", "proof.pem")["applied"] == elsewhere
        answer("disable", "company-x", "--yes")
        assert answer("enable", "company-x")["applied"] == elsewhere
        answer("disable", "company-x", "--yes")
        status.write(tmp_path / "state", tenant="default", epoch=9, workers={})
        assert answer("enable", "company-x")["applied"] == "within a second, by the hub that runs here"
    answer("disable", "company-x", "--yes")
    assert answer("enable", "company-x")["applied"] == "no hub runs here"


def interrupted(*words: str) -> Any:
    """Ctrl-C where a question stands; what is said of it."""
    command = [sys.executable, "-m", "holdfast", "ca", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        assert asking.stderr is not None
        asked = b""
        while not asked.endswith(b"[y/N]:"):
            asked += asking.stderr.read(1)
        time.sleep(0.5)  # a signal between the question and the reading of the answer is heard after that
        asking.send_signal(signal.SIGINT)
        _, said = asking.communicate(timeout=30)
        assert asking.returncode == 130
    return json.loads(said[said.index(b"{") :])
