"""Just enough of an MQTT 3.1.1 client to be rude with: blocking, over the standard library's TLS."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .hub import RunningHub
    from .pki import Device

TIMEOUT_SECONDS = 20.0
VERSIONS = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}
CONNACK_YES = bytes([0x20, 2, 0, 0])
CONNACK_NOT_AUTHORIZED = bytes([0x20, 2, 0, 5])
CONNACK_SERVER_UNAVAILABLE = bytes([0x20, 2, 0, 3])


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def packet(kind: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, seven = divmod(left, 128)
        length.append(seven | (0x80 if left else 0))
        if not left:
            return bytes([kind]) + bytes(length) + body


def connect(device_id: str, keep_alive: int = 60) -> bytes:
    return packet(0x10, text("MQTT") + bytes([4, 2]) + struct.pack("!H", keep_alive) + text(device_id))


def publish(device_id: str, packet_id: int, payload: bytes = b"{}") -> bytes:
    topic = text(f"devices/{device_id}/messages/events/$.mid={packet_id}")
    return packet(0x32, topic + struct.pack("!H", packet_id) + payload)


def puback(packet_id: int) -> bytes:
    return struct.pack("!BBH", 0x40, 2, packet_id)


def files(hub: RunningHub, device: Device) -> tuple[Path, Path]:
    """The device's chain and key beside the hub, in files that no other device has."""
    return device.write(hub.directory, f"{device.chain[0].serial_number:x}")


def context(hub: RunningHub, files: tuple[Path, Path] | None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=hub.certificate)
    if version is not None:
        made.minimum_version = made.maximum_version = version
    if files is not None:
        made.load_cert_chain(*files)
    return made


@contextmanager
def dialled(
    hub: RunningHub,
    files: tuple[Path, Path] | None,
    version: ssl.TLSVersion | None = None,
    *,
    buffer_bytes: int | None = None,
) -> Iterator[ssl.SSLSocket]:
    """A finished handshake with the hub; `buffer_bytes` bounds what the kernel keeps for this side."""
    with (
        socket.socket() as plain,
        context(hub, files, version).wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF) if buffer_bytes else ():
            secured.setsockopt(socket.SOL_SOCKET, option, buffer_bytes)
        secured.settimeout(TIMEOUT_SECONDS)
        secured.connect((hub.address, 8883))
        yield secured


def read_exactly(secured: ssl.SSLSocket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = secured.recv(count - len(data))
        assert part, f"the connection ended after {data!r}"
        data += part
    return data


def read_packet(secured: ssl.SSLSocket) -> tuple[int, bytes]:
    """The first octet of the next packet, and what comes after its length."""
    (kind,) = read_exactly(secured, 1)
    length = shift = 0
    while True:
        (octet,) = read_exactly(secured, 1)
        length |= (octet & 0x7F) << shift
        shift += 7
        if not octet & 0x80:
            return kind, read_exactly(secured, length)


def read_to_end(secured: ssl.SSLSocket) -> bytes:
    """All that comes, up to a close_notify; anything but a clean end raises."""
    data = b""
    while part := secured.recv(65536):
        data += part
    return data
