"""What a device and an operator do with a hub, and whether they were told yes."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from ..support.mqtt import CONNACK_YES, connect, dialled, packet, puback, publish, read_exactly, read_packet, text
from ..support.pki import Ca
from .journal import rows

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..support.hub import RunningHub

ROOT = Ca.root("Company-X Root")
FACTORY = ROOT.intermediate("Factory-Y")
SUBACK_YES = bytes([0x90, 3, 0, 1, 1])
QUIET_SECONDS = 1.0
DUP = 0x08


def files(hub: RunningHub, device_id: str) -> tuple[Path, Path]:
    paths = hub.directory / f"{device_id}.pem", hub.directory / f"{device_id}.key"
    return paths if paths[0].exists() else FACTORY.device(device_id).write(hub.directory, device_id)


@contextmanager
def session(hub: RunningHub, device_id: str) -> Iterator[ssl.SSLSocket]:
    with dialled(hub, files(hub, device_id)) as secured:
        secured.sendall(connect(device_id))
        assert read_exactly(secured, 4) == CONNACK_YES
        yield secured


def answer(hub: RunningHub, device_id: str) -> bytes:
    """The CONNACK, or nothing where there was none."""
    with suppress(OSError, AssertionError), dialled(hub, files(hub, device_id)) as secured:
        secured.sendall(connect(device_id))
        return read_exactly(secured, 4)
    return b""


def is_stored(hub: RunningHub, packet_id: int, payload: bytes = b"{}", *, again: bool = False) -> bool:
    """Whether a message of `known` is acknowledged; `again`: it may have been stored before, and nobody said so."""
    with suppress(OSError, AssertionError), session(hub, "known") as secured:
        first, *rest = publish("known", packet_id, payload)
        secured.sendall(bytes([first | (DUP if again else 0), *rest]))
        return read_exactly(secured, 4) == puback(packet_id)
    return False


def is_subscribed(hub: RunningHub, device_id: str = "known") -> bool:
    """Whether a subscription of a session that is kept is granted."""
    with suppress(OSError, AssertionError), dialled(hub, files(hub, device_id)) as secured:
        secured.sendall(packet(0x10, text("MQTT") + bytes([4, 0]) + struct.pack("!H", 60) + text(device_id)))
        read_exactly(secured, 4)
        topic = text(f"devices/{device_id}/messages/devicebound/#")
        secured.sendall(packet(0x82, struct.pack("!H", 1) + topic + b"\x01"))
        return read_exactly(secured, 5) == SUBACK_YES
    return False


def receive(hub: RunningHub, device_id: str, note: Callable[[str], None]) -> None:
    """Take what waits for a session that is kept; `note` each message and acknowledge it."""
    with dialled(hub, files(hub, device_id)) as secured:
        secured.sendall(packet(0x10, text("MQTT") + bytes([4, 0]) + struct.pack("!H", 60) + text(device_id)))
        read_exactly(secured, 4)
        secured.settimeout(QUIET_SECONDS)
        with suppress(TimeoutError):
            while True:
                kind, body = read_packet(secured)
                assert kind & 0xF0 == 0x30
                end = 2 + struct.unpack_from("!H", body)[0]
                note(body[end + 2 :].decode())
                secured.sendall(puback(struct.unpack_from("!H", body, end)[0]))


def state(hub: RunningHub, name: str) -> Path:
    return hub.directory / "state" / name


def stored(hub: RunningHub) -> list[str]:
    return [one for (one,) in rows(state(hub, "telemetry/worker-0.db"), "SELECT message_id FROM messages ORDER BY seq")]


def pinned(hub: RunningHub) -> set[str]:
    return {one for (one,) in rows(state(hub, "registry.db"), "SELECT device_id FROM devices")}


def is_whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
