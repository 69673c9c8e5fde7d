"""`holdfast device`: the operator's side of messages, its answers for people and for programs, its exits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from holdfast._holdfast import Certificate
from holdfast.inbox import Inbox, open_inbox
from holdfast.inbox.sessions import Session
from holdfast.registry import open_registry
from holdfast.registry.devices import Claim, Pin
from holdfast.registry.paths import path_of

from ..support.hub import prove
from ..support.pki import Ca, key_pem
from .command import Command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HUB = "hub.test"
ROOT = Ca.root()

device = Command("device")
answer, refusal = device.answer, device.refusal


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that has let in `widget-1` and `widget-2`, once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holdfast.toml").write_text(f'hub = "{HUB}"\n')
    at = datetime.now(UTC)
    with open_registry(tmp_path / "state" / "registry.db", hub=HUB, tenant="default", at=at, create=True) as registry:
        prove(registry, "company-x", ROOT)
        claims = [
            Claim(
                pin=Pin(device_id=name, issuer_spki_sha256=b"\x01" * 32, leaf_spki_sha256=b"\x02" * 32),
                fingerprint=b"\x03" * 32,
                path=path_of([ROOT.der]),
                epoch=registry.cas.trust().epoch,
                before=None,
            )
            for name in ("widget-1", "widget-2")
        ]
        assert registry.devices.claim(claims, at=datetime.now(UTC), chains=[[ROOT.der]]) == [None, None]


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with open_inbox(tmp_path / "state" / "inbox.db", hub=HUB, tenant="default", create=True) as found:
        yield found


def test_a_message_is_queued_as_it_was_given(inbox: Inbox, tmp_path: Path) -> None:
    first = answer(
        "send", "widget-1", "--payload", "hello", "--message-id", "m-1", "--property", "a=b=c", "--property", "e="
    )
    assert first == {"device": "widget-1", "message_id": "m-1", "expires_at": None, "waiting": 1}
    (tmp_path / "blob").write_bytes(b"\x00\xff")
    second = answer(
        "send", "widget-1", "--file", "blob", "--content-type", "x/y", "--correlation-id", "c", "--expires", "60"
    )
    assert second["waiting"] == 2
    assert len(second["message_id"]) == 36
    left = datetime.fromisoformat(second["expires_at"]) - datetime.now(UTC)
    assert 0 < left.total_seconds() <= 60
    answer("send", "widget-1", "--file", "-", stdin=b"from a pipe")
    at = int(datetime.now(UTC).timestamp())
    with inbox.database.writing() as transaction:
        found = inbox.messages.hand_out(transaction, "widget-1", after=0, count_max=9, bytes_max=9_999, at=at).messages
    assert [one.payload for one in found] == [b"hello", b"\x00\xff", b"from a pipe"]
    assert json.loads(found[0].properties) == {"a": "b=c", "e": ""}
    named = json.loads(found[1].system_properties)
    assert (named["content-type"], named["correlation-id"]) == ("x/y", "c")


def test_a_device_is_shown_with_its_session_and_what_waits(inbox: Inbox) -> None:
    fresh = answer("show", "widget-1")
    assert (fresh["session"], fresh["messages"], fresh["path"]) == ("none", 0, ["03" * 32, path_of([ROOT.der]).hex()])
    assert fresh["path_subjects"] == ["CN=widget-1", "CN=Company-X Root"]
    lines = device("show", "widget-1").stdout
    assert f"CN=widget-1 ({'03' * 32}), CN=Company-X Root ({path_of([ROOT.der]).hex()})" in lines
    with inbox.database.writing() as transaction:
        ends_at = int(datetime.now(UTC).timestamp()) + 600
        rows = [("widget-1", Session(inbox_qos=1, expiry_seconds=600, ends_at=ends_at))]
        inbox.sessions.keep(
            transaction, [*rows, ("widget-2", Session(inbox_qos=None, expiry_seconds=None, ends_at=None))], worker=0
        )
    answer("send", "widget-1", "--payload", "x")
    shown = answer("show", "widget-1")
    assert (shown["session"], shown["subscribed_qos"], shown["session_expiry_seconds"]) == ("subscribed", 1, 600)
    assert datetime.fromisoformat(shown["session_ends_at"]).timestamp() == ends_at
    assert datetime.fromisoformat(shown["oldest_message_at"]) <= datetime.now(UTC)
    assert shown["messages"] == 1
    listed = [(one["device"], one["session"], one["messages"]) for one in answer("list")]
    assert listed == [("widget-1", "subscribed", 1), ("widget-2", "kept", 0)]
    table = device("list").stdout
    assert all(word in table for word in ("widget-1", "subscribed", "widget-2", "kept"))


def test_no_device_was_let_in_yet(tmp_path: Path) -> None:
    with open_registry(tmp_path / "new.db", hub=HUB, tenant="default", at=datetime.now(UTC), create=True):
        pass
    (tmp_path / "new.db").replace(tmp_path / "state" / "registry.db")
    assert answer("list") == []
    assert device("list").stderr == "no device was let in yet\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("unknown_device", ("send", "Widget-1", "--payload", "x")),
        ("unknown_device", ("show", "nobody")),
        ("bad_message_id", ("send", "widget-1", "--payload", "x", "--message-id", "")),
        ("bad_property", ("send", "widget-1", "--payload", "x", "--property", "$.mid=1")),
        ("unreadable_file", ("send", "widget-1", "--file", "nowhere")),
    ],
)
def test_what_cannot_be_sent_or_shown_is_said(code: str, words: tuple[str, ...], inbox: Inbox) -> None:
    assert refusal(*words, status=3) == code
    assert inbox.messages.queue("widget-1", at=0).count == 0


def test_octets_that_are_no_text_are_sent_as_they_are_or_refused(inbox: Inbox) -> None:
    answer("send", "widget-1", "--payload", b"a\xff", "--message-id", "m-1")
    at = int(datetime.now(UTC).timestamp())
    with inbox.database.writing() as transaction:
        found = inbox.messages.hand_out(transaction, "widget-1", after=0, count_max=9, bytes_max=9_999, at=at).messages
    assert [one.payload for one in found] == [b"a\xff"]
    for option, code in (
        ("--message-id", "bad_message_id"),
        ("--content-type", "bad_property"),
        ("--correlation-id", "bad_property"),
    ):
        assert refusal("send", "widget-1", "--payload", "x", option, b"b\xff", status=3) == code
    assert refusal("send", "widget-1", "--payload", "x", "--property", b"b=\xff", status=3) == "bad_property"
    assert refusal("show", b"widget\xff", status=3) == "unknown_device"


def test_a_message_is_there_once(inbox: Inbox) -> None:
    answer("send", "widget-1", "--payload", "x", "--message-id", "m-1")
    assert refusal("send", "widget-1", "--payload", "x", "--message-id", "m-1", status=6) == "message_id_taken"
    assert inbox.messages.queue("widget-1", at=0).count == 1


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--payload", "x", "--file", "y"),
        ("--payload", "x", "--property", "a"),
        ("--payload", "x", "--expires", "0"),
    ],
)
def test_usage(words: tuple[str, ...]) -> None:
    assert device("send", "widget-1", *words).returncode == 2


def test_a_directory_without_a_hub(tmp_path: Path) -> None:
    assert refusal("list", "--state-dir", str(tmp_path / "elsewhere"), status=3) == "no_registry"
    assert not (tmp_path / "elsewhere").exists()


def test_a_device_is_repinned_by_a_certificate_or_a_hash(tmp_path: Path) -> None:
    factory = ROOT.intermediate("Factory-S")
    (tmp_path / "factory-s.pem").write_bytes(factory.pem)
    key = Certificate(factory.der).spki_sha256
    said = answer("repin", "widget-1", "factory-s.pem", "--yes", "--reason", "repaired")
    assert said == {
        "device": "widget-1",
        "issuer": "CN=Factory-S",
        "issuer_spki_sha256": key,
        "successors": [],
        "epoch": said["epoch"],
        "applied": "no hub runs here",
    }
    shown = answer("show", "widget-1")
    assert (shown["issuer_spki_sha256"], shown["leaf_spki_sha256"], shown["path"]) == (key, None, [])
    assert shown["path_subjects"] == []
    again = answer("repin", "widget-1", key, "--unseen", "--yes")
    assert (again["issuer_spki_sha256"], again["epoch"]) == (key, said["epoch"] + 1)
    root = answer("repin", "widget-2", Certificate(ROOT.der).fingerprint, "--yes")
    assert (root["issuer"], root["issuer_spki_sha256"]) == ("CN=Company-X Root", Certificate(ROOT.der).spki_sha256)
    asked = device("repin", "widget-2", key, "--unseen", stdin=b"n\n")
    assert (asked.returncode, "End widget-2" in asked.stderr) == (1, True)
    assert answer("show", "widget-2")["issuer_spki_sha256"] == Certificate(ROOT.der).spki_sha256


def test_a_message_ends_within_what_mqtt_can_say() -> None:
    assert device("send", "widget-1", "--payload", "x", "--expires", "99999999999999").returncode == 2
    assert device("send", "widget-1", "--payload", "x", "--expires", str(2**32 - 1)).returncode == 0


def test_what_is_no_issuer_is_refused_with_its_code(tmp_path: Path) -> None:
    widget = ROOT.device("widget-9")
    (tmp_path / "widget.pem").write_bytes(widget.pem)
    (tmp_path / "two.pem").write_bytes(ROOT.intermediate("Factory-A").pem + ROOT.intermediate("Factory-B").pem)
    (tmp_path / "key.pem").write_bytes(key_pem(widget.key))
    (tmp_path / "other.txt").write_text("Factory-S")
    for issuer, code in (
        ("widget.pem", "not_a_ca"),
        ("two.pem", "several_certificates"),
        ("key.pem", "private_key_in_upload"),
        ("other.txt", "not_a_certificate"),
        ("missing.pem", "unreadable_file"),
        (".", "unreadable_file"),
        ("x" * 5000, "unreadable_file"),
        ("ab" * 31, "bad_hash"),
        ("ab" * 32, "unknown_branch"),
        ("02" * 32, "unknown_branch"),
    ):
        assert refusal("repin", "widget-1", issuer, "--yes", status=3) == code
    assert refusal("repin", "widget-7", "ab" * 32, "--unseen", "--yes", status=3) == "unknown_device"
    assert answer("show", "widget-1")["issuer_spki_sha256"] == "01" * 32
