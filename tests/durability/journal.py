"""What was acknowledged, kept by a process that nobody kills, and held against what is on the disk."""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass
class Journal:
    """Acknowledgements as they come; whoever adds one has seen it."""

    stored: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Message ids that were acknowledged to each device."""
    pinned: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """Devices that were let in for the first time: their issuer's key and their own."""
    subscribed: set[str] = field(default_factory=set)
    revoked: set[bytes] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    received: set[str] = field(default_factory=set)
    """Messages that their device has had, before it acknowledged them."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def copy(self) -> Journal:
        """What is promised by now: what comes later may not be on the disk yet when it is looked at."""
        with self.lock:
            stored = {device: set(ids) for device, ids in self.stored.items()}
            return Journal(
                stored, dict(self.pinned), set(self.subscribed), set(self.revoked), set(self.sent), set(self.received)
            )

    def counts(self) -> dict[str, int]:
        with self.lock:
            return {
                "telemetry messages acknowledged": sum(map(len, self.stored.values())),
                "first admissions": len(self.pinned),
                "subscriptions granted": len(self.subscribed),
                "revocations": len(self.revoked),
                "messages queued for devices": len(self.sent),
            }


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(statement).fetchall()


def databases(state: Path) -> list[Path]:
    return [state / "registry.db", state / "inbox.db", *telemetry(state)]


def telemetry(state: Path) -> list[Path]:
    return sorted((state / "telemetry").glob("worker-*.db"))


def faults(journal: Journal, state: Path) -> list[str]:
    """Everything that `state` lacks of what `journal` has, or holds twice, or broken. The hub may be running."""
    promised = journal.copy()
    found = [f"{path.name}: {said}" for path in databases(state) for said in _damage(path)]
    if found:
        return found  # of what is damaged nothing else can be asked
    found += _lost("telemetry", {(device, one) for device, ids in promised.stored.items() for one in ids}, _kept(state))
    found += [f"telemetry twice in {path.name}: {one}" for path in telemetry(state) for one in _twice(path)]
    pins = rows(state / "registry.db", "SELECT device_id, issuer_spki_sha256, leaf_spki_sha256 FROM devices")
    found += _lost("pin", {(device, *pin) for device, pin in promised.pinned.items()}, pins)
    acts = rows(state / "registry.db", "SELECT subject FROM acts WHERE action = 'device.pinned'")
    found += _lost("act of a pin", {(device,) for device, *_ in pins}, acts)
    closed = rows(state / "registry.db", "SELECT sha256 FROM closures WHERE state = 'revoked'")
    found += _lost("revocation", {(sha256,) for sha256 in promised.revoked}, closed)
    subscribed = rows(state / "inbox.db", "SELECT device_id FROM sessions WHERE inbox_qos = 1 AND ends_at IS NULL")
    found += _lost("subscription", {(device,) for device in promised.subscribed}, subscribed)
    waiting = {one for (one,) in rows(state / "inbox.db", "SELECT message_id FROM messages")}
    with journal.lock:  # what was taken while we looked is not lost
        waiting |= journal.received
    return found + _lost("message for a device", promised.sent, waiting)


def _kept(state: Path) -> set[tuple[Any, ...]]:
    return {row for path in telemetry(state) for row in rows(path, "SELECT device_id, message_id FROM messages")}


def _twice(path: Path) -> list[tuple[Any, ...]]:
    return rows(path, "SELECT device_id, message_id FROM messages GROUP BY 1, 2 HAVING count(*) > 1")


def _damage(path: Path) -> list[str]:
    try:
        said = [one for (one,) in rows(path, "PRAGMA integrity_check") if one != "ok"]
        return said + [f"foreign key: {row}" for row in rows(path, "PRAGMA foreign_key_check")]
    except sqlite3.DatabaseError as error:  # not even that can be read
        return [str(error)]


def _lost(what: str, promised: set[Any], kept: Iterable[Any]) -> list[str]:
    return [f"lost {what}: {one}" for one in sorted(promised - set(kept))]
