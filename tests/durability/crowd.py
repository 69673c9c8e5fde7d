"""Devices and an operator that load a hub and write down what it acknowledges. They come back whatever happens."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..support.hub import HUB
from ..support.mqtt import dialled, packet, puback, read_exactly, read_packet, text
from ..support.pki import Ca, Device, p256

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.x509 import Certificate

    from ..support.hub import RunningHub
    from .journal import Journal

WINDOW = 16
PUBLISHERS = 3
PAUSE_SECONDS = 0.02
LISTENER = "listener"
SUBSCRIBE = 0x82
SUBACK_QOS1 = bytes([0x90, 3, 0, 1, 1])


def key_sha256(certificate: Certificate) -> bytes:
    key = certificate.public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


class Crowd:
    """All of them against one hub; `factory` vouches for the devices.

    Publishers rest for `rest_seconds` after each window of messages.
    """

    def __init__(self, hub: RunningHub, journal: Journal, factory: Ca, *, rest_seconds: float = 0.0) -> None:
        self._hub = hub
        self._journal = journal
        self._factory = factory
        self._rest_seconds = rest_seconds
        self._ended = threading.Event()
        self._operator: subprocess.Popen[str] | None = None
        self._lives = 0
        self._key = p256()

    @contextmanager
    def running(self) -> Iterator[None]:
        devices = [f"publisher-{number}" for number in range(PUBLISHERS)]
        bodies: list[Callable[[], None]] = [lambda name=name: self._publish(name) for name in devices]  # type: ignore[misc]
        threads = [threading.Thread(target=body) for body in (*bodies, self._listen, self._come, self._operate)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self.kill_operator()
            for thread in threads:
                thread.join()

    def kill_operator(self) -> None:
        if self._operator is not None:
            self._operator.kill()

    def _device(self, device_id: str) -> tuple[Device, tuple[Path, Path]]:
        device = self._factory.device(device_id, key=self._key)
        return device, device.write(self._hub.directory, device_id)

    @contextmanager
    def _session(self, files: tuple[Path, Path], device_id: str) -> Iterator[ssl.SSLSocket]:
        """A session that is kept, of a device that was let in."""
        with dialled(self._hub, files) as secured:
            secured.settimeout(2)
            secured.sendall(packet(0x10, text("MQTT") + bytes([4, 0]) + struct.pack("!H", 60) + text(device_id)))
            answer = read_exactly(secured, 4)
            if answer[3] != 0:
                raise ConnectionRefusedError
            yield secured

    def _again(self, body: Callable[[], None]) -> None:
        """Do it until the end; a connection that breaks is only the reason for another."""
        while not self._ended.is_set():
            with suppress(OSError, AssertionError):
                body()
            time.sleep(PAUSE_SECONDS)

    # ── devices ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _publish(self, device_id: str) -> None:
        _, files = self._device(device_id)
        waiting: dict[int, bool] = {}
        """Numbers of messages that are not acknowledged yet, and whether they were sent."""
        last = 0

        def session() -> None:
            nonlocal last
            with self._session(files, device_id) as secured:
                while not self._ended.is_set():
                    while len(waiting) < WINDOW:
                        last += 1
                        waiting[last] = False
                    for number, again in list(waiting.items()):
                        waiting[number] = True
                        secured.sendall(_message(device_id, number, again=again))
                    for _ in range(len(waiting)):
                        kind, _, packet_id = struct.unpack("!BBH", read_exactly(secured, 4))
                        assert kind == 0x40
                        number = next(one for one in waiting if _packet_id(one) == packet_id)
                        del waiting[number]
                        with self._journal.lock:
                            self._journal.stored[device_id].add(str(number))
                    self._ended.wait(self._rest_seconds)

        self._again(session)

    def _come(self) -> None:
        """Devices that nobody has seen, one after another, each of which subscribes."""
        coming = 0
        name, (device, files) = "", (None, None)

        def session() -> None:
            nonlocal coming, name, device, files
            if name in self._journal.subscribed or not name:
                coming += 1
                name = f"newcomer-{coming}"
                device, files = self._device(name)
            assert device is not None
            assert files is not None
            with self._session(files, name) as secured:
                with self._journal.lock:
                    keys = key_sha256(self._factory.certificate), key_sha256(device.chain[0])
                    self._journal.pinned[name] = keys
                _subscribe(secured, name)
                with self._journal.lock:
                    self._journal.subscribed.add(name)

        self._again(session)

    def _listen(self) -> None:
        """The device that takes what the operator sends."""
        _, files = self._device(LISTENER)

        def session() -> None:
            with self._session(files, LISTENER) as secured:
                # Deliveries of a session that is kept may come before the answer.
                secured.sendall(packet(SUBSCRIBE, struct.pack("!H", 1) + text(_inbox(LISTENER)) + b"\x01"))
                while not self._ended.is_set():
                    kind, body = read_packet(secured)
                    if kind & 0xF0 != 0x30:
                        continue
                    end = 2 + struct.unpack_from("!H", body)[0]
                    (packet_id,) = struct.unpack_from("!H", body, end)
                    with self._journal.lock:
                        self._journal.received.add(body[end + 2 :].decode())
                    secured.sendall(puback(packet_id))

        self._again(session)

    # ── the operator ───────────────────────────────────────────────────────────────────────────────────────────────

    def _operate(self) -> None:
        state = self._hub.directory / "state"
        while not self._ended.is_set():
            self._lives += 1
            arguments = [state / "registry.db", state / "inbox.db", HUB, LISTENER, str(self._lives)]
            with subprocess.Popen(
                [sys.executable, "-m", "tests.durability.operator", *map(os.fspath, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | self._hub.environment,
                text=True,
            ) as self._operator:
                assert self._operator.stdout is not None
                for line in self._operator.stdout:
                    if line.endswith("\n"):
                        self._acknowledged(*line.split())
            self._ended.wait(PAUSE_SECONDS)

    def _acknowledged(self, what: str, name: str) -> None:
        with self._journal.lock:
            if what == "sent":
                self._journal.sent.add(name)
            else:
                self._journal.revoked.add(bytes.fromhex(name))


def _packet_id(number: int) -> int:
    return number % 65_535 + 1


def _message(device_id: str, number: int, *, again: bool) -> bytes:
    topic = text(f"devices/{device_id}/messages/events/$.mid={number}")
    return packet(0x3A if again else 0x32, topic + struct.pack("!H", _packet_id(number)) + b"{}")


def _inbox(device_id: str) -> str:
    return f"devices/{device_id}/messages/devicebound/#"


def _subscribe(secured: ssl.SSLSocket, device_id: str) -> None:
    secured.sendall(packet(SUBSCRIBE, struct.pack("!H", 1) + text(_inbox(device_id)) + b"\x01"))
    assert read_exactly(secured, 5) == SUBACK_QOS1
