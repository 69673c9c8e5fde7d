"""A disk that is full, that fails, that takes half: nothing is acknowledged that is not kept (G03, G04)."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ..support.hub import RunningHub, running, wait_for
from ..support.mqtt import CONNACK_YES, puback, publish, read_exactly
from .dealings import ROOT, answer, is_stored, is_subscribed, is_whole, pinned, session, state, stored
from .faults import ALWAYS, BROKEN, FULL, SHORT, TOO_MANY, Calls, Faults, compile_shim
from .journal import rows
from .kills import start_again

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library that fails calls is made for Linux")
REGISTRY, INBOX, LOG = "/registry.db-wal", "/inbox.db-wal", "/worker-0.db-wal"
# How the disk fails, whether for good, and whether the process may go on afterwards.
WRITES = {
    "full": (Calls.WRITE, FULL, ALWAYS),
    "broken": (Calls.WRITE, BROKEN, ALWAYS),
    "sync_fails_once": (Calls.SYNC, BROKEN, 1),
    "sync_fails": (Calls.SYNC, BROKEN, ALWAYS),
}
GOES_ON = {"full"}
PINGREQ, PINGRESP = b"\xc0\0", b"\xd0\0"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    for hub in running(tmp_path, workers=1, drain_seconds=0):
        hub.trust(company=ROOT)
        yield hub


@pytest.fixture
def faults(hub: RunningHub, library: Path) -> Faults:
    """Of the hub, which is running, and has let in `known`."""
    made = Faults(hub, library)
    hub.start()
    assert answer(hub, "known") == CONNACK_YES
    return made


# ── telemetry ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", sorted(WRITES.keys() - GOES_ON))
def test_g03_g04_no_message_is_acknowledged_that_is_not_stored(hub: RunningHub, faults: Faults, fault: str) -> None:
    assert is_stored(hub, 1)
    pid = hub.worker_pid()
    calls, error, times = WRITES[fault]
    faults.begin(calls, LOG, error, times=times)
    assert not is_stored(hub, 2)
    assert faults.failed
    assert hub.wait_for_events("worker_failed")[0]["code"] == "telemetry_log_failed"
    if times == ALWAYS:
        assert not is_stored(hub, 3)
        faults.end()
    wait_for(lambda: is_stored(hub, 4), "message that is stored")
    assert hub.worker_pid() != pid, "the process that met the fault has acknowledged nothing more"
    assert {"1", "4"} <= set(stored(hub))
    assert is_whole(state(hub, "telemetry/worker-0.db"))


def test_g03_on_a_full_disk_devices_stay_and_their_messages_wait(hub: RunningHub, faults: Faults) -> None:
    pid = hub.worker_pid()
    faults.begin(Calls.WRITE, LOG, FULL)
    with session(hub, "known") as secured:
        secured.sendall(publish("known", 1))
        hub.wait_for_events("disk_full")
        assert faults.failed
        secured.sendall(PINGREQ)
        assert read_exactly(secured, 2) == PINGRESP, "not the acknowledgement"
        faults.end()
        assert read_exactly(secured, 4) == puback(1)
    hub.wait_for_events("disk_has_room")
    assert hub.worker_pid() == pid
    assert stored(hub) == ["1"]
    assert is_whole(state(hub, "telemetry/worker-0.db"))


def test_g04_while_another_program_holds_the_log_devices_stay_and_their_messages_wait(hub: RunningHub) -> None:
    hub.start()
    assert is_stored(hub, 1)
    pid = hub.worker_pid()
    with session(hub, "known") as secured, closing(sqlite3.connect(state(hub, "telemetry/worker-0.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        secured.sendall(publish("known", 2))
        hub.wait_for_events("telemetry_locked")
        secured.sendall(PINGREQ)
        assert read_exactly(secured, 2) == PINGRESP, "not the acknowledgement"
        other.rollback()
        assert read_exactly(secured, 4) == puback(2)
    hub.wait_for_events("telemetry_unlocked")
    assert hub.worker_pid() == pid
    assert stored(hub) == ["1", "2"]


def test_g04_a_short_write_is_written_to_its_end(hub: RunningHub, faults: Faults) -> None:
    pid = hub.worker_pid()
    for number, (name, act) in enumerate({LOG: is_stored, REGISTRY: None, INBOX: None}.items(), 1):
        faults.begin(Calls.WRITE, name, SHORT, times=3)
        if act is not None:
            assert act(hub, number)
        else:
            assert answer(hub, "short") == CONNACK_YES if name == REGISTRY else is_subscribed(hub)
        assert faults.failed
    faults.end()
    assert hub.worker_pid() == pid
    assert stored(hub) == ["1"]
    assert pinned(hub) == {"known", "short"}
    assert all(map(is_whole, (state(hub, "registry.db"), state(hub, "inbox.db"), state(hub, "telemetry/worker-0.db"))))


def test_g04_a_worker_that_can_open_no_file_serves_nobody_until_it_can(hub: RunningHub, faults: Faults) -> None:
    faults.begin(Calls.OPEN, "/worker-0.db", TOO_MANY)
    count = len(hub.events("serving"))
    with session(hub, "known") as secured:
        os.kill(hub.worker_pid(), signal.SIGKILL)
        assert secured
    assert hub.wait_for_events("worker_failed", 2)[0]["code"] == "telemetry_log_failed"
    assert len(hub.events("serving")) == count
    faults.end()
    hub.wait_for_events("serving", count + 1)
    assert is_stored(hub, 1)


# ── registry and inbox ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", WRITES)
def test_g03_g04_nobody_is_let_in_whose_pin_is_not_kept(hub: RunningHub, faults: Faults, fault: str) -> None:
    calls, error, times = WRITES[fault]
    faults.begin(calls, REGISTRY, error, times=times)
    assert answer(hub, "newcomer") != CONNACK_YES
    assert faults.failed
    if fault in GOES_ON:
        assert hub.refusals()[-1] == "registry_unavailable"
        assert answer(hub, "known") == CONNACK_YES, "the registry is not on the path of a known device"
        faults.end()
    else:
        # The sync would succeed by now, and is not asked again.
        assert answer(hub, "another") != CONNACK_YES
        assert wait_for(hub.ended, "end of a hub that cannot trust its disk")
        assert hub.process is not None
        assert hub.process.returncode == 1
        faults.end()
        start_again(hub)
    wait_for(lambda: answer(hub, "newcomer") == CONNACK_YES, "admission")
    assert {"known", "newcomer"} <= pinned(hub)
    assert is_whole(state(hub, "registry.db"))


@pytest.mark.parametrize("fault", WRITES)
def test_g03_g04_no_subscription_is_granted_that_is_not_kept(hub: RunningHub, faults: Faults, fault: str) -> None:
    calls, error, times = WRITES[fault]
    faults.begin(calls, INBOX, error, times=times)
    assert not is_subscribed(hub)
    assert faults.failed
    if fault not in GOES_ON:
        assert not is_subscribed(hub)
        assert wait_for(hub.ended, "end of a hub that cannot trust its disk")
        faults.end()
        start_again(hub)
    faults.end()
    wait_for(lambda: is_subscribed(hub), "subscription")
    assert rows(state(hub, "inbox.db"), "SELECT device_id FROM sessions") == [("known",)]
    assert is_whole(state(hub, "inbox.db"))


# ── commands ───────────────────────────────────────────────────────────────────────────────────────────────────────

COMMANDS = {
    "revoke": ("registry", ("branch", "close", "ab" * 32, "--unseen", "--revoke", "--yes"), REGISTRY),
    "send": ("inbox", ("device", "send", "known", "--payload", "x", "--message-id", "m"), INBOX),
}
COMMAND_FAULTS = WRITES | {"too_many_files": (Calls.OPEN, TOO_MANY, ALWAYS)}


@pytest.mark.parametrize("fault", COMMAND_FAULTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_g04_g06_a_command_says_yes_only_to_what_is_kept_and_can_be_given_again(
    hub: RunningHub, faults: Faults, command: str, fault: str
) -> None:
    database, words, log = COMMANDS[command]
    calls, error, times = COMMAND_FAULTS[fault]
    hub.command("device", "list")  # makes the inbox
    hub.stop()
    path = log.removesuffix("-wal") if calls is Calls.OPEN else log
    faults.begin(calls, path, error, times=times)
    refused = hub.command(*words, "--json", check=False)
    assert (refused.returncode, json.loads(refused.stderr)["error"]) == (3, f"{database}_failed")
    assert refused.stdout == ""
    faults.end()
    hub.command(*words)
    if command == "revoke":
        closed = rows(state(hub, "registry.db"), "SELECT kind, sha256, state FROM closures ORDER BY kind")
        assert closed == [(kind, b"\xab" * 32, "revoked") for kind in ("certificate", "key")]
    else:
        assert rows(state(hub, "inbox.db"), "SELECT message_id FROM messages") == [("m",)]
        again = hub.command(*words, "--json", check=False)
        assert (again.returncode, json.loads(again.stderr)["error"]) == (6, "message_id_taken")
    assert is_whole(state(hub, f"{database}.db"))


def test_g04_a_backup_on_a_full_disk_is_none(hub: RunningHub, library: Path) -> None:
    faults = Faults(hub, library)
    before = hashlib.sha256(state(hub, "registry.db").read_bytes()).digest()
    faults.begin(Calls.WRITE, "/registry.db", FULL)
    refused = hub.command("backup", "backup", "--json", check=False)
    assert (refused.returncode, json.loads(refused.stderr)["error"]) == (3, "backup_failed")
    assert [one for one in hub.directory.iterdir() if one.name.startswith((".holdfast", "backup"))] == []
    faults.end()
    assert hashlib.sha256(state(hub, "registry.db").read_bytes()).digest() == before
    hub.command("backup", "backup")
