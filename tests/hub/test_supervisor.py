"""What the supervisor makes of claims while the registry cannot take them, and how it introduces a worker."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, cast

import pytest
import structlog
from structlog.testing import capture_logs

from holdfast.errors import ConfigurationError
from holdfast.hub import messages
from holdfast.hub import supervisor as supervisor_module
from holdfast.hub.identity import Identity
from holdfast.hub.process import WorkerProcess
from holdfast.hub.supervisor import Supervisor
from holdfast.inbox import open_inbox
from holdfast.registry import Registry, open_registry
from holdfast.registry import devices as devices_module
from holdfast.registry.paths import path_of
from holdfast.settings import Settings

from ..registry.acts import recorded
from ..support.pki import DAY, NOW, Ca

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


ROOT = Ca.root()
CHAINS = [[ROOT.intermediate(name).der, ROOT.der] for name in ("Factory-X", "Factory-Y", "Factory-Z")]


@dataclass(eq=False)
class House:
    """A supervisor of one worker that is not there, and what that one was told."""

    registry: Registry
    supervisor: Supervisor
    answers: list[tuple[int, str | None]] = field(default_factory=list)
    told: list[messages.Message] = field(default_factory=list)
    ended = False
    pid = 1
    unsent = 0
    killed = 0

    def kill(self) -> None:
        self.killed += 1

    def send(self, message: messages.Message) -> None:
        self.told.append(message)
        if isinstance(message, messages.Claimed):
            self.answers += message.answers

    async def claim(self, *numbers: int, chains: list[list[bytes]]) -> list[str | None]:
        """Device n claims to have come by the chain n; what is answered in this turn of the loop."""
        claims = [
            messages.Claim(
                handle=number,
                device_id=f"widget-{number}",
                issuer_spki_sha256=b"\x01" * 32,
                leaf_spki_sha256=b"\x02" * 32,
                fingerprint=b"\x04" * 32,
                path=path_of(CHAINS[number]),
                before=None,
            )
            for number in numbers
        ]
        self.answers = []
        self.supervisor._receive(0, messages.Claims(epoch=1, chains=chains, claims=claims))
        await asyncio.sleep(0)
        assert [handle for handle, _ in self.answers] == list(numbers)
        return [code for _, code in self.answers]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(supervisor_module, "_now", lambda: NOW)
    settings = Settings(hub="hub.test", state_dir=tmp_path, workers=1)
    with (
        open_registry(tmp_path / "registry.db", hub="hub.test", tenant="default", at=NOW, create=True) as registry,
        open_inbox(tmp_path / "inbox.db", hub="hub.test", tenant="default", create=True) as inbox,
    ):
        registry.cas.add("company-x", ROOT.pem, actor="alice", at=NOW)
        registry.database.wait_at_most(0)
        supervisor = Supervisor(
            settings=settings,
            identity=cast("Identity", None),
            limits={},
            listeners=[],
            watched=None,
            registry=registry,
            inbox=inbox,
            log=structlog.get_logger(),
            again=lambda: settings,
        )
        house = House(registry, supervisor)
        supervisor._workers[0] = cast("WorkerProcess", house)
        yield house


def held(tmp_path: Path) -> closing[sqlite3.Connection]:
    """Another program holds the registry until it closes it."""
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return closing(other)


async def test_g05_claims_are_answered_and_paths_kept_while_the_registry_is_held(house: House, tmp_path: Path) -> None:
    with held(tmp_path):
        assert await house.claim(0, chains=[CHAINS[0]]) == ["registry_unavailable"]
        assert await house.claim(0, 1, chains=[CHAINS[1]]) == ["registry_unavailable"] * 2
    # The worker has said by which CAs they came, and does not say it again.
    assert await house.claim(0, 1, chains=[]) == [None, None]


async def test_g05_no_more_paths_are_kept_than_have_room(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "CHAINS_KEPT_MAX", 2)
    with held(tmp_path):
        assert await house.claim(0, chains=CHAINS[:2]) == ["registry_unavailable"]
        assert await house.claim(2, chains=CHAINS[2:]) == ["registry_unavailable"]
    assert await house.claim(0, 1, 2, chains=[]) == [None, None, "path_unknown"]
    assert await house.claim(2, chains=CHAINS[2:]) == [None]
    assert [what for what, _ in recorded(house.registry)].count("path.met") == len(CHAINS)


async def test_r03_paths_are_kept_while_the_clock_is_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "_now", lambda: NOW - DAY)
    assert await house.claim(0, 1, chains=CHAINS[:2]) == ["clock_behind"] * 2
    monkeypatch.setattr(supervisor_module, "_now", lambda: NOW)
    assert await house.claim(0, 1, chains=[]) == [None, None]


async def test_x04_a_worker_is_introduced_in_portions_and_serves_when_it_knows_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million devices take seconds, in which the others' leases are renewed and trust may change."""
    monkeypatch.setattr(devices_module, "ROWS_AT_ONCE", 1)
    assert await house.claim(0, 1, 2, chains=CHAINS) == [None] * 3
    house.told.clear()
    monkeypatch.setattr(
        house.supervisor, "_identity", Identity(certificate_chain=(b"own",), private_key=b"key", not_after=NOW + DAY)
    )
    monkeypatch.setattr(house.supervisor, "_listeners", [socket.socket()])
    epoch = house.supervisor._trust.epoch
    with house.supervisor._listeners[0]:
        introducing = asyncio.create_task(house.supervisor._introduce(0, cast("WorkerProcess", house)))
        await asyncio.sleep(0)
        house.send(messages.Lease())
        # Whoever hears of trust before it was told all does not serve yet.
        house.supervisor._receive(0, messages.TrustApplied(epoch=epoch))
        await introducing
    kinds = [type(message) for message in house.told]
    assert kinds[0] is messages.Start
    assert kinds.count(messages.Pins) == 3
    assert kinds.index(messages.Lease) < len(kinds) - 3, "there was room for it in between"
    assert kinds[-1] is messages.Trust
    house.supervisor._receive(0, messages.TrustApplied(epoch=epoch))
    assert house.told[-1] == messages.Serve()
    # What all of them know is told to nobody again.
    house.told.clear()
    house.supervisor._spread_pins()
    assert house.told == []


def serving(house: House) -> int:
    """The epoch that a worker has applied which serves."""
    epoch = house.supervisor._trust.epoch
    house.supervisor._introduced.add(0)
    house.supervisor._receive(0, messages.TrustApplied(epoch=epoch))
    house.supervisor._receive(0, messages.Ready())
    return epoch


async def test_r01_a_worker_has_five_looks_to_apply_trust_whatever_the_clock_says(house: House) -> None:
    """Between two looks the supervisor has listened to everybody, however busy it was otherwise."""
    epoch = serving(house)
    trust = house.supervisor._trust
    house.supervisor._spread_trust(replace(trust, epoch=epoch + 1))
    for _ in range(4):
        house.supervisor._end_silent()
    house.supervisor._receive(0, messages.TrustApplied(epoch=epoch + 1))
    # Trust that changes all the time is applied each time, only later than the next was told.
    for more in range(2, 12):
        house.supervisor._spread_trust(replace(trust, epoch=epoch + more))
        house.supervisor._end_silent()
        house.supervisor._receive(0, messages.TrustApplied(epoch=epoch + more - 1))
    assert house.killed == 0
    for looks in range(7):
        # Whoever talks on and does not apply it is ended all the same.
        house.supervisor._receive(0, messages.Live(question=1, live=False))
        house.supervisor._end_silent()
        assert house.killed == (looks >= 4)


async def test_x05_a_worker_that_hangs_before_it_serves_or_reads_nothing_is_ended(house: House) -> None:
    for look in range(1, supervisor_module.START_LOOKS_MAX + 1):
        house.supervisor._end_hung()
        assert house.killed == (look == supervisor_module.START_LOOKS_MAX)
    house.supervisor._receive(0, messages.Live(question=1, live=False))
    for look in range(1, supervisor_module.SILENT_LOOKS_MAX + 3):
        house.supervisor._end_hung()
        assert house.killed == 1 + (look >= supervisor_module.SILENT_LOOKS_MAX)
    house.supervisor._receive(0, messages.Live(question=1, live=False))
    house.unsent = supervisor_module.UNREAD_BYTES_MAX
    house.supervisor._end_hung()
    assert house.killed == 2
    house.unsent += 1
    house.supervisor._end_hung()
    assert house.killed == 3


async def test_x01_a_worker_is_introduced_as_fast_as_it_reads(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        house.supervisor, "_identity", Identity(certificate_chain=(b"own",), private_key=b"key", not_after=NOW + DAY)
    )
    monkeypatch.setattr(devices_module, "ROWS_AT_ONCE", 1)
    assert await house.claim(0, 1, 2, chains=CHAINS) == [None] * 3
    house.told.clear()
    monkeypatch.setattr(house.supervisor, "_listeners", [socket.socket()])
    house.unsent = supervisor_module.INTRODUCTION_BYTES_MAX + 1
    with house.supervisor._listeners[0]:
        introducing = asyncio.create_task(house.supervisor._introduce(0, cast("WorkerProcess", house)))
        await asyncio.sleep(0.1)
        assert [type(message) for message in house.told] == [messages.Start, messages.Pins]
        house.unsent = 0
        await introducing
    assert isinstance(house.told[-1], messages.Trust)


async def test_g04_a_read_that_fails_while_a_worker_is_introduced_costs_that_worker(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(*_: object) -> House:
        return house

    async def wait() -> int:
        assert house.killed == 1
        return -9

    def clock_floor() -> NoReturn:
        raise ConfigurationError("registry_failed", "disk I/O error")

    monkeypatch.setattr(WorkerProcess, "start", start)
    monkeypatch.setattr(house, "wait", wait, raising=False)
    monkeypatch.setattr(
        house.supervisor, "_identity", Identity(certificate_chain=(b"own",), private_key=b"key", not_after=NOW + DAY)
    )
    monkeypatch.setattr(house.supervisor, "_listeners", [socket.socket()])
    monkeypatch.setattr(house.registry.database, "clock_floor", clock_floor)
    with house.supervisor._listeners[0]:
        assert await house.supervisor._run_worker(0) == -9


async def test_pins_that_could_not_be_read_after_a_commit_are_told_when_they_can(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "POLL_SECONDS", 0.001)
    changed_since = house.registry.devices.changed_since

    def fail(_: int) -> NoReturn:
        raise ConfigurationError("registry_failed", "disk I/O error")

    watching = asyncio.create_task(house.supervisor._watch_registry())
    await asyncio.sleep(0.05)
    monkeypatch.setattr(house.registry.devices, "changed_since", fail)
    assert await house.claim(0, chains=CHAINS[:1]) == [None], "it is committed"
    house.told.clear()
    monkeypatch.setattr(house.registry.devices, "changed_since", changed_since)
    while not any(isinstance(message, messages.Pins) for message in house.told):  # noqa: ASYNC110 (a test)
        await asyncio.sleep(0.01)
    watching.cancel()


async def test_x05_it_is_said_once_that_a_worker_is_slow_for_each_time_that_it_is(house: House) -> None:
    house.supervisor._receive(0, messages.Live(question=1, live=False))
    with capture_logs() as said:
        house.supervisor._log = structlog.get_logger()
        for _ in range(4):
            house.supervisor._end_hung()
        assert said == []
        for _ in range(2):
            for _ in range(10):
                house.supervisor._end_hung()
            house.supervisor._receive(0, messages.Live(question=1, live=False))
    slow = {"event": "worker_slow", "log_level": "warning", "worker": 0, "seconds": 1.0}
    assert said == [slow, slow]
    assert house.killed == 0
