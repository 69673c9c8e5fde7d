"""`holdfast branch`: what a file or a hash names, what is closed by it, and what the answers say."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from holdfast._holdfast import Certificate
from holdfast.cli import options
from holdfast.errors import RegistrationError
from holdfast.hub import status
from holdfast.registry import open_registry
from holdfast.registry.closures import Kind
from holdfast.registry.devices import Claim, Pin
from holdfast.registry.paths import path_of
from holdfast.registry.schema import tenants

from ..registry.acts import last_act
from ..support.hub import prove
from ..support.pki import PEM, Ca
from .command import Command

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.registry import Registry

HUB = "hub.test"
ROOT = Ca.root()
FACTORY, TECHNICIAN = ROOT.intermediate("Factory-Y"), ROOT.intermediate("Technician-N")
KEY, FINGERPRINT = Certificate(TECHNICIAN.der).spki_sha256, Certificate(TECHNICIAN.der).fingerprint
COLONS = ":".join(FINGERPRINT[at : at + 2] for at in range(0, 64, 2)).upper()

branch = Command("branch")
answer, complaint = branch.answer, branch.complaint


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that trusts `ROOT`, and that nobody has come to yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holdfast.toml").write_text(f'hub = "{HUB}"\n')
    (tmp_path / "factory-y.pem").write_bytes(FACTORY.pem)
    (tmp_path / "technician-n.pem").write_bytes(TECHNICIAN.pem)
    with registry(tmp_path) as opened:
        prove(opened, "company-x", ROOT)


def registry(directory: Path, *, tenant: str = "default") -> Any:
    path = directory / "state" / "registry.db"
    return open_registry(path, hub=HUB, tenant=tenant, at=datetime.now(UTC), create=True)


def closed(directory: Path) -> set[tuple[str, str]]:
    opened: Registry
    with registry(directory) as opened:
        return {(kind.value, one.hex()) for kind, hashes in opened.closures.closed().items() for one in hashes}


def test_a_signer_that_nobody_has_come_by_is_closed_by_its_certificate_s_file(tmp_path: Path) -> None:
    preview = answer("close", "technician-n.pem", "--preview")
    assert (preview["kind"], preview["subject"], preview["sha256"]) == ("key", "CN=Technician-N", KEY)
    assert closed(tmp_path) == set()
    said = answer("close", "technician-n.pem", "--yes")
    assert (said["kind"], said["sha256"], said["state"]) == ("key", KEY, "closed")
    assert closed(tmp_path) == {("key", KEY)}
    assert answer("open", "technician-n.pem")["state"] == "open"
    assert closed(tmp_path) == set()
    one = answer("close", "technician-n.pem", "--certificate", "--yes")
    assert (one["kind"], one["sha256"]) == ("certificate", FINGERPRINT)
    assert closed(tmp_path) == {("certificate", FINGERPRINT)}
    assert complaint("open", "technician-n.pem", status=6)["error"] == "not_closed"
    assert answer("open", "technician-n.pem", "--certificate")["kind"] == "certificate"
    assert closed(tmp_path) == set()
    widget = ROOT.device("widget-1")
    (tmp_path / "widget.pem").write_bytes(widget.pem)
    assert answer("close", "widget.pem", "--yes")["subject"] == "CN=widget-1"
    assert closed(tmp_path) == {("key", Certificate(widget.der[0]).spki_sha256)}


@pytest.mark.parametrize("how", [FINGERPRINT, KEY, COLONS], ids=["fingerprint", "key", "colons"])
def test_an_unseen_hash_is_closed_as_a_key_s_and_as_a_certificate_s(tmp_path: Path, how: str) -> None:
    plain = how.replace(":", "").lower()
    refused = complaint("close", how, "--yes", status=3)
    assert (refused["error"], "file" in refused["hint"]) == ("unknown_branch", True)
    for words in (("--preview",), ("--yes",)):
        said = answer("close", how, "--unseen", *words)
        assert (said["kind"], said["sha256"]) == ("key, certificate", plain)
    assert closed(tmp_path) == {(kind.value, plain) for kind in Kind}
    listed = [(one["state"], one["kind"], one["sha256"]) for one in answer("list")]
    assert sorted(listed) == [("closed", kind, plain) for kind in ("certificate", "key")]
    assert (answer("open", how)["kind"], closed(tmp_path)) == ("key, certificate", set())


def test_what_was_closed_unseen_is_opened_by_the_file_too(tmp_path: Path) -> None:
    answer("close", FINGERPRINT, "--unseen", "--yes")
    assert (answer("open", "technician-n.pem")["kind"], closed(tmp_path)) == ("key, certificate", set())
    one = answer("close", FINGERPRINT, "--unseen", "--certificate", "--yes")
    assert (one["kind"], closed(tmp_path)) == ("certificate", {("certificate", FINGERPRINT)})


def test_where_a_key_is_wanted_an_unseen_hash_is_said_to_be_a_key_s() -> None:
    root = Certificate(ROOT.der)
    refused = complaint("succeed", root.fingerprint, FINGERPRINT, "--yes", status=3)
    assert refused["error"] == "unknown_branch"
    assert all(word in refused["hint"] for word in ("file", "key", "not of a certificate"))
    assert "not a certificate's" in " ".join(branch("succeed", "--help", COLUMNS="200").stdout.split())
    preview = answer("succeed", root.fingerprint, FINGERPRINT, "--unseen", "--preview")
    assert (preview["old"], preview["new"], preview["new_spki_sha256"]) == (root.subject, None, FINGERPRINT)
    assert answer("succeed", root.fingerprint, "technician-n.pem", "--preview")["new_spki_sha256"] == KEY


@pytest.mark.parametrize("text", [FINGERPRINT[:-1], FINGERPRINT + "00", FINGERPRINT[:40]], ids=["63", "66", "40"])
def test_a_hash_of_another_length_is_no_file(text: str) -> None:
    assert complaint("close", text, "--yes", status=3)["error"] == "bad_hash"
    assert complaint("close", "elsewhere.pem", "--yes", status=3)["error"] == "unreadable_file"


@pytest.mark.parametrize(
    "words",
    [
        ("close", "technician-n.pem", "--yes"),
        ("succeed", "factory-y.pem", "technician-n.pem", "--yes"),
        ("open", "technician-n.pem"),
        ("list",),
        ("successions",),
    ],
)
def test_a_mistyped_tenant_is_refused_and_makes_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    refused = complaint(*words, "--tenant", "produciton", status=3)
    assert (refused["error"], refused["hint"]) == ("unknown_tenant", "There is default")
    opened: Registry
    with registry(tmp_path) as opened:
        assert [row["tenant"] for row in opened.database.rows(select(tenants))] == ["default"]


def test_where_nothing_was_ever_added_nothing_is_shown_and_nothing_made(tmp_path: Path) -> None:
    (tmp_path / "state" / "registry.db").unlink()
    with registry(tmp_path):
        pass
    assert answer("list") == answer("successions") == []
    refused = complaint("close", "technician-n.pem", "--yes", status=3)
    assert (refused["error"], refused["hint"]) == ("unknown_tenant", "`holdfast ca add` makes it")
    assert answer("list") == []


def test_what_another_tenant_s_hub_has_not_applied_is_not_said_to_be(tmp_path: Path) -> None:
    """The hub that runs serves `default`, and has applied more of that than `second` has epochs."""
    with registry(tmp_path, tenant="second") as opened:
        opened.cas.add("company-x", ROOT.pem, actor="test", at=datetime.now(UTC))
    with status.locked(tmp_path / "state"):
        status.write(tmp_path / "state", tenant="default", epoch=99, workers={0: 1})
        said = answer("close", "technician-n.pem", "--yes", "--tenant", "second")
        assert said["applied"] == "by nobody: the hub that runs here serves the tenant 'default'"
        assert answer("close", "technician-n.pem", "--yes")["applied"] == "by every worker"
    assert answer("close", "factory-y.pem", "--yes", "--tenant", "second")["applied"] == "no hub runs here"


def test_a_signer_is_named_by_the_file_that_authority_sign_wrote(tmp_path: Path) -> None:
    """The first of its chain, however long that is; `ca add` takes one certificate alone."""
    signer = FACTORY.intermediate("Technician-Z")
    chain = b"".join(one.public_bytes(PEM) for one in signer.above)
    (tmp_path / "chain.pem").write_bytes(chain + ROOT.pem)
    assert answer("succeed", "factory-y.pem", "chain.pem", "--yes")["new"] == "CN=Technician-Z"
    assert answer("close", "chain.pem", "--preview")["subject"] == "CN=Technician-Z"
    (tmp_path / "mixed.pem").write_bytes(signer.pem + TECHNICIAN.pem)
    (tmp_path / "reversed.pem").write_bytes(ROOT.pem + FACTORY.pem)
    for file in ("mixed.pem", "reversed.pem"):
        refused = complaint("close", file, "--yes", status=3)
        assert (refused["error"], "is not the issuer of" in refused["message"]) == ("several_certificates", True)
    opened: Registry
    with registry(tmp_path) as opened, pytest.raises(RegistrationError) as upload:
        opened.cas.add("chain", (tmp_path / "chain.pem").read_bytes(), actor="test", at=datetime.now(UTC))
    assert upload.value.code == "several_certificates"


def test_declared_successors_stand_in_the_list_and_in_the_preview(tmp_path: Path) -> None:
    opened: Registry
    with registry(tmp_path) as opened:
        key = bytes.fromhex(Certificate(FACTORY.der).spki_sha256)
        claim = Claim(
            pin=Pin(device_id="widget-1", issuer_spki_sha256=key, leaf_spki_sha256=b"\x02" * 32),
            fingerprint=b"\x03" * 32,
            path=path_of([FACTORY.der, ROOT.der]),
            epoch=opened.cas.trust().epoch,
            before=None,
        )
        assert opened.devices.claim([claim], at=datetime.now(UTC), chains=[[FACTORY.der, ROOT.der]]) == [None]
    answer("succeed", "factory-y.pem", "technician-n.pem", "--yes")
    (pair,) = answer("successions")
    assert (pair["old"], pair["new"], pair["new_spki_sha256"]) == ("CN=Factory-Y", "CN=Technician-N", KEY)
    preview = answer("close", "factory-y.pem", "--preview")
    assert preview["may_come_by"] == [{"subject": "CN=Technician-N", "spki_sha256": KEY, "devices": 1}]
    assert (preview["devices"], preview["with_another_way_in"]) == (1, [])
    assert f"CN=Technician-N ({KEY}): 1 devices" in branch("close", "factory-y.pem").stderr


def test_what_is_revoked_is_not_said_to_be_closed_only(tmp_path: Path) -> None:
    assert answer("close", "factory-y.pem", "--revoke", "--yes")["state"] == "revoked"
    again = answer("close", "factory-y.pem", "--reason", "a second look", "--yes")
    assert (again["state"], answer("list")[0]["reason"]) == ("revoked", "a second look")


@pytest.mark.parametrize("revoked", ["file", "hash"])
def test_what_is_shut_out_in_part_for_ever_is_not_said_to_be_open(revoked: str) -> None:
    once, other = ("technician-n.pem",), (FINGERPRINT, "--unseen")
    for_ever, for_now = (once, other) if revoked == "file" else (other, once)
    answer("close", *for_now, "--yes")
    answer("close", *for_ever, "--yes", "--revoke")
    assert complaint("open", "technician-n.pem", status=6)["error"] == "revoked_for_ever"


def test_what_was_closed_by_its_file_has_a_name_and_opens_by_its_fingerprint() -> None:
    answer("close", "technician-n.pem", "--yes")
    assert answer("list")[0]["subject"] == "CN=Technician-N"
    assert answer("open", FINGERPRINT)["subject"] == "CN=Technician-N"
    answer("close", "technician-n.pem", "--yes")
    assert answer("open", KEY)["state"] == "open"


def test_a_reason_that_is_no_utf_8_closes_all_the_same(tmp_path: Path) -> None:
    assert answer("close", "technician-n.pem", "--yes", "--reason", b"lost \xff")["state"] == "closed"
    assert (closed(tmp_path), answer("list")[0]["reason"]) == ({("key", KEY)}, r"lost \udcff")


def test_who_did_it_is_the_account_s_name_whatever_the_environment_says(tmp_path: Path) -> None:
    branch("close", "technician-n.pem", "--yes", LOGNAME="alice\x1b[31m", USER="bob", SUDO_USER="carol")
    with registry(tmp_path) as opened:
        assert last_act(opened)["actor"] == pwd.getpwuid(os.getuid()).pw_name


def test_who_did_it_is_a_number_where_the_account_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    assert options.actor() == "uid 4000000001"


def test_what_a_table_prints_moves_no_cursor_and_is_whole_where_there_is_no_terminal() -> None:
    answer("close", "technician-n.pem", "--yes", "--reason", "\x1b[2Jlost\r\n")
    answer("succeed", "technician-n.pem", "factory-y.pem", "--yes", "--reason", "\x1b]0;x\x07" + "long " * 50)
    tables = branch("list").stdout, branch("successions").stdout
    assert not any(word in table for table in tables for word in ("\x1b", "\r", "\x07"))
    assert r"\x1b[2Jlost\r\n" in tables[0]
    (line,) = [line for line in tables[1].splitlines() if "declared" in line]
    assert all(word in line for word in (KEY, Certificate(FACTORY.der).spki_sha256, "long " * 49))
    assert branch("list", "--json").stdout.count("\\u001b") == 1
