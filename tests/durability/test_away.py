"""The database is away: devices that are known go on, whoever is new comes again, and nothing is lost (G05).

HOLDFAST_AWAY_SECONDS asks for longer than a lease.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from ..support.hub import RunningHub, running, wait_for
from ..support.mqtt import CONNACK_YES, puback, publish, read_exactly
from .dealings import ROOT, answer, is_subscribed, is_whole, pinned, session, state, stored
from .journal import rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="a hub runs on Linux"),
    pytest.mark.timeout(300),
]
LEASE_SECONDS = 2.5
AWAY_SECONDS = float(os.environ.get("HOLDFAST_AWAY_SECONDS", "5"))
BACK_SECONDS_MAX = 10.0
NEWCOMERS = 8
CONNACK_COME_AGAIN = bytes([0x20, 2, 0, 3])


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    """With a lease that is shorter than the database is away, and two devices that it knows."""
    lease = {"lease_ms": int(LEASE_SECONDS * 1000)}
    with contextmanager(running)(tmp_path, workers=1, drain_seconds=0, limits=lease) as hub:
        hub.trust(company=ROOT)
        hub.start()
        wait_for(lambda: answer(hub, "known") == answer(hub, "other") == CONNACK_YES, "first admissions")
        yield hub


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another program has the database to itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@contextmanager
def crowding(hub: RunningHub) -> Iterator[list[bytes]]:
    """Devices that nobody has seen, and that come again and again; what they are answered."""
    ended, answers = threading.Event(), list[bytes]()

    def come(name: str) -> None:
        while not ended.is_set():
            answers.append(answer(hub, name))

    threads = [threading.Thread(target=come, args=(f"newcomer-{number}",)) for number in range(NEWCOMERS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def go_on(hub: RunningHub, seconds: float) -> None:
    """For so long, a device that is connected publishes, and one that is known comes and goes."""
    until, number = time.monotonic() + seconds, 0
    with session(hub, "known") as inside:
        while time.monotonic() < until:
            number += 1
            inside.sendall(publish("known", number))
            assert read_exactly(inside, 4) == puback(number)
            assert answer(hub, "other") == CONNACK_YES
    assert stored(hub) == [str(one) for one in range(1, number + 1)]


def test_g05_known_devices_go_on_while_another_holds_the_registry(hub: RunningHub) -> None:
    pid = hub.worker_pid()
    with held(state(hub, "registry.db")), crowding(hub) as answers:
        go_on(hub, AWAY_SECONDS)
        assert len(answers) > NEWCOMERS
        # Never yes, and never the no after which stock clients do not come back.
        assert set(answers) == {CONNACK_COME_AGAIN}
        assert pinned(hub) == {"known", "other"}
    for number in range(NEWCOMERS):
        name = f"newcomer-{number}"
        wait_for(lambda name=name: answer(hub, name) == CONNACK_YES, "first admission", BACK_SECONDS_MAX)  # type: ignore[misc]
    assert set(hub.refusals()) == {"registry_unavailable"}
    assert hub.worker_pid() == pid
    assert len(pinned(hub)) == 2 + NEWCOMERS
    hub.stop()
    assert is_whole(state(hub, "registry.db"))


def test_g05_a_path_that_was_first_met_while_another_held_the_registry_is_known_afterwards(hub: RunningHub) -> None:
    """A worker says once by which CAs somebody came, and the registry could not hear it then."""
    for name in ("stranger", "neighbour"):
        ROOT.intermediate(f"Factory of {name}").device(name).write(hub.directory, name)
    with held(state(hub, "registry.db")):
        assert answer(hub, "stranger") == CONNACK_COME_AGAIN
        assert answer(hub, "neighbour") == CONNACK_COME_AGAIN
    for name in ("stranger", "neighbour", "newcomer"):
        wait_for(lambda name=name: answer(hub, name) == CONNACK_YES, "first admission", BACK_SECONDS_MAX)  # type: ignore[misc]
    assert set(hub.refusals()) == {"registry_unavailable"}


def test_g05_a_branch_that_is_closed_at_last_is_closed_at_once(hub: RunningHub) -> None:
    """An operator's command waits for the database, or says that it could not have it; never yes before it is done."""
    with held(state(hub, "registry.db")):
        refused = hub.command("branch", "close", "ab" * 32, "--unseen", "--revoke", "--yes", "--json", check=False)
        assert (refused.returncode, json.loads(refused.stderr)["error"]) == (6, "registry_busy")
    hub.command("branch", "close", "ab" * 32, "--unseen", "--revoke", "--yes")
    closed = rows(state(hub, "registry.db"), "SELECT kind, sha256, state FROM closures ORDER BY kind")
    assert closed == [(kind, b"\xab" * 32, "revoked") for kind in ("certificate", "key")]


def test_g05_known_devices_go_on_while_another_holds_the_inbox(hub: RunningHub) -> None:
    pid = hub.worker_pid()
    with held(state(hub, "inbox.db")):
        assert not is_subscribed(hub)
        go_on(hub, AWAY_SECONDS)
        assert answer(hub, "newcomer") == CONNACK_YES
    wait_for(lambda: is_subscribed(hub), "subscription", BACK_SECONDS_MAX)
    assert hub.worker_pid() == pid
    assert hub.refusals() == []
    hub.stop()
    assert is_whole(state(hub, "inbox.db"))


def test_g05_g08_without_its_supervisor_a_worker_admits_nobody_and_serves_whom_it_has(hub: RunningHub) -> None:
    assert hub.process is not None
    with session(hub, "known") as inside:
        hub.process.send_signal(signal.SIGSTOP)
        try:
            until, number = time.monotonic() + AWAY_SECONDS, 0
            while time.monotonic() < until:
                number += 1
                inside.sendall(publish("known", number))
                assert read_exactly(inside, 4) == puback(number)
            # What operators decide is not known any more.
            assert answer(hub, "other") == CONNACK_COME_AGAIN
        finally:
            hub.process.send_signal(signal.SIGCONT)
        wait_for(lambda: answer(hub, "other") == CONNACK_YES, "admission", BACK_SECONDS_MAX)
        inside.sendall(publish("known", number + 1))
        assert read_exactly(inside, 4) == puback(number + 1)
    assert set(hub.refusals()) == {"lease_lapsed"}
    assert stored(hub) == [str(one) for one in range(1, number + 2)]
